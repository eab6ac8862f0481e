import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import {
  instructionError,
  mountsOf,
  type CopyInstruction,
  type RunInstruction,
  type RunMount,
} from '../../dockerfile/index.js';
import type { MemoryFile, RunInput, TmpfsMount, VolumeMount } from '../../runtime/index.js';
import type { OperationDeps } from '../deps.js';
import type { BuildContext, BuildSources, Selection } from '../build-context/index.js';
import { mountCache } from './cache-mounts.js';
import type { BuildRequest, StepTree } from './types.js';

const SECRETS = '/run/secrets';
const SSH_SOCKET = '/run/buildkit/ssh_agent';

/** Where a mount takes files from. */
export interface MountSource {
  readonly context: BuildContext;
  /** Files of a stage or an image, which need no copy to be read. */
  readonly tree: StepTree | undefined;
}

/** The mounts of a RUN, found and hashed; nothing is made yet. */
interface PlannedMounts {
  /** What of them decides the result: no secrets, no contents of caches. */
  readonly key: string | undefined;
  /** Makes them; to be released after the run. Throws DockerfileError, UsageError, SubvolumeError. */
  open(): Promise<OpenMounts>;
}

/** The mounts of a run, ready. */
interface OpenMounts extends Required<Pick<RunInput, 'volumes' | 'memoryFiles' | 'tmpfs'>> {
  readonly volumes: readonly VolumeMount[];
  readonly memoryFiles: readonly MemoryFile[];
  readonly tmpfs: readonly TmpfsMount[];
  /** Variables for the command: `K=V`. */
  readonly env: readonly string[];
  /** Contents of secrets. */
  readonly secrets: readonly string[];
  release(): Promise<void>;
}

interface MountDeps {
  readonly deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'rootfs' | 'progress'>;
  readonly request: BuildRequest;
  readonly sources: BuildSources;
  /** Finds what `from=` means; undefined: the build context. */
  readonly findSource: (from: string | undefined) => Promise<MountSource>;
}

/** What opening mounts collects. */
interface Opening {
  readonly volumes: VolumeMount[];
  readonly memoryFiles: MemoryFile[];
  readonly tmpfs: TmpfsMount[];
  readonly env: string[];
  readonly secrets: string[];
  readonly releases: (() => Promise<void> | void)[];
}

/** A mount with what is known of it before the run. */
interface PlannedMount {
  readonly key: object;
  readonly open: (opening: Opening) => Promise<void>;
}

/** Plans the mounts of an expanded RUN. `workdir`: absolute. Throws DockerfileError, NotFoundError. */
export async function planMounts(
  context: MountDeps,
  run: RunInstruction,
  { environment, workdir }: { readonly environment: ReadonlyMap<string, string>; readonly workdir: string },
): Promise<PlannedMounts> {
  const planned: PlannedMount[] = [];
  for (const mount of mountsOf(run, environment)) planned.push(await planMount(context, run, { mount, workdir }));
  return {
    key: planned.length === 0 ? undefined : JSON.stringify(planned.map(({ key }) => key)),
    open: async () => {
      const opening: Opening = { volumes: [], memoryFiles: [], tmpfs: [], env: [], secrets: [], releases: [] };
      const release = async (): Promise<void> => {
        for (const one of opening.releases.splice(0).reverse()) await one();
      };
      try {
        for (const mount of planned) await mount.open(opening);
      } catch (error) {
        await release();
        throw error;
      }
      const { volumes, memoryFiles, tmpfs, env, secrets } = opening;
      return { volumes, memoryFiles, tmpfs, env, secrets, release };
    },
  };
}

async function planMount(
  context: MountDeps,
  run: RunInstruction,
  { mount, workdir }: { readonly mount: RunMount; readonly workdir: string },
): Promise<PlannedMount> {
  const target = mount.target === undefined ? undefined : posix.resolve(workdir, mount.target);
  if (target === '/')
    throw instructionError(run, `a mount cannot be at ${mount.target}`, 'mount it at a directory below');
  switch (mount.type) {
    case 'tmpfs': {
      const at = needed(run, mount, target);
      const { size } = mount;
      return {
        key: { type: 'tmpfs', target: at, size },
        open: (opening) =>
          Promise.resolve(
            void opening.tmpfs.push({ target: at, options: ['exec', ...(size === undefined ? [] : [`size=${size}`])] }),
          ),
      };
    }
    case 'secret':
      return planSecret(context, run, { mount, target });
    case 'ssh':
      return planSsh(context, run, { mount, target });
    case 'cache':
      return planCache(context, { mount, target: needed(run, mount, target) });
    case 'bind':
      return planBind(context, { mount, target: needed(run, mount, target) });
  }
}

function needed(run: RunInstruction, { type }: RunMount, target: string | undefined): string {
  if (target !== undefined) return target;
  throw instructionError(run, `a mount of type ${type} has no target`, 'write target=PATH');
}

function planSecret(
  { request }: MountDeps,
  run: RunInstruction,
  { mount, target }: { readonly mount: RunMount; readonly target: string | undefined },
): PlannedMount {
  const { required, mode = 0o400, uid = 0, gid = 0, env } = mount;
  const id = mount.id ?? mount.source ?? posix.basename(mount.target ?? '');
  const path = target ?? (env === undefined ? `${SECRETS}/${posix.basename(id)}` : undefined);
  const secret = request.secrets.find((one) => one.id === id);
  if (secret === undefined && required)
    throw instructionError(run, `the secret ${id} is required and not given`, `add --secret id=${id},src=FILE`);
  return {
    key: { type: 'secret', id, path, env, mode, uid, gid },
    open: async (opening) => {
      if (secret === undefined) return;
      const content = await secret.read();
      opening.secrets.push(Buffer.from(content).toString());
      if (path !== undefined) opening.memoryFiles.push({ target: path, content, mode, uid, gid });
      if (env !== undefined) opening.env.push(`${env === '' ? id : env}=${Buffer.from(content).toString()}`);
    },
  };
}

function planSsh(
  { request }: MountDeps,
  run: RunInstruction,
  { mount, target }: { readonly mount: RunMount; readonly target: string | undefined },
): PlannedMount {
  const id = mount.id ?? 'default';
  const path = target ?? `${SSH_SOCKET}.0`;
  const socket = request.ssh.get(id);
  if (socket === undefined && mount.required)
    throw instructionError(run, `the SSH agent ${id} is required and not given`, `add --ssh ${id}`);
  return {
    key: { type: 'ssh', id, path },
    open: (opening) => {
      if (socket !== undefined) {
        opening.volumes.push({ source: socket, target: path, readOnly: true });
        opening.env.push(`SSH_AUTH_SOCK=${path}`);
      }
      return Promise.resolve();
    },
  };
}

function planCache(
  context: MountDeps,
  { mount, target }: { readonly mount: RunMount; readonly target: string },
): PlannedMount {
  const { from, source, sharing, mode, uid, gid, readOnly } = mount;
  const id = mount.id ?? target;
  const { deps, request, findSource } = context;
  return {
    // Its contents decide nothing.
    key: { type: 'cache', id, target, from, source, readOnly },
    open: async (opening) => {
      const fill =
        from === undefined
          ? undefined
          : async (directory: string): Promise<void> =>
              copyInto(context, await findSource(from), { source, directory });
      const mounted = await mountCache(
        deps,
        { id, target, sharing, mode, uid, gid, readOnly, fill, source: from === undefined ? source : undefined },
        {
          keeper: request.cacheMounts,
          signal: request.signal,
          onWait: () => deps.progress.note(`waiting for another build that uses the cache ${id}`),
        },
      );
      opening.volumes.push(mounted.volume);
      opening.releases.push(() => mounted.release());
    },
  };
}

async function planBind(
  context: MountDeps,
  { mount, target }: { readonly mount: RunMount; readonly target: string },
): Promise<PlannedMount> {
  const { from, source = '/', readOnly } = mount;
  const found = await context.findSource(from);
  const isWhole = posix.resolve('/', source) === '/';
  // All files of a stage or an image are known by its key; of a part, the contents count.
  const content = found.tree !== undefined && isWhole ? `${found.tree.key} ${found.tree.step ?? ''}` : undefined;
  const digest = content ?? (await digestOf(context, found, source));
  return {
    key: { type: 'bind', target, readOnly, digest, name: isWhole ? undefined : posix.basename(source) },
    open: async (opening) => {
      if (found.tree !== undefined) {
        const directory = readOnly
          ? context.deps.snapshots.layerPath(found.tree.subvolume)
          : await workOn(context, found.tree, opening);
        const path = await context.deps.rootfs.realPath(directory, source);
        opening.volumes.push({ source: path, target, readOnly });
        return;
      }
      // Of a context only what its ignore file lets through is seen, and what is written is thrown away.
      const directory = await workOn(context, undefined, opening);
      await copyInto(context, found, { source, directory });
      const name = posix.resolve('/', source).slice(1);
      const isFile = found.context.tree.node(name)?.type !== 'directory';
      const path = isFile ? await context.deps.rootfs.realPath(directory, posix.basename(source)) : directory;
      opening.volumes.push({ source: path, target, readOnly });
    },
  };
}

/** A writable subvolume that goes with the mount. */
async function workOn({ deps, request }: MountDeps, tree: StepTree | undefined, opening: Opening): Promise<string> {
  const key = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal: request.signal });
  opening.releases.push(async () => {
    try {
      await deps.snapshots.removeWork(key);
    } finally {
      alive.release();
    }
  });
  return deps.snapshots.prepare(key, tree?.subvolume);
}

function digestOf(deps: MountDeps, found: MountSource, source: string): Promise<string> {
  return withSelection(deps, found, source, (selection) => selection.digest());
}

function copyInto(
  deps: MountDeps,
  found: MountSource,
  { source = '/', directory }: { readonly source?: string | undefined; readonly directory: string },
): Promise<void> {
  const { sources, request } = deps;
  const how = { createdNs: BigInt(Date.now()) * 1_000_000n, signal: request.signal };
  return withSelection(deps, found, source, (selection) => sources.write(selection, directory, how));
}

async function withSelection<T>(
  { sources, request }: MountDeps,
  { context }: MountSource,
  source: string,
  act: (selection: Selection) => Promise<T>,
): Promise<T> {
  const instruction = copyOf(source);
  const selection = await sources.select({ instruction, context, workdir: '/', signal: request.signal });
  try {
    return await act(selection);
  } finally {
    await selection.close();
  }
}

/** The COPY that takes `source` as it is. */
function copyOf(source: string): CopyInstruction {
  const start = { line: 1, column: 1 };
  return {
    keyword: 'COPY',
    ...{ file: '--mount', start, end: start, text: `COPY ${source} /`, written: 'COPY', escape: '\\', comments: [] },
    ...{ sources: [source], heredocs: [], destination: '/', link: false, excludes: [], parents: false },
  };
}
