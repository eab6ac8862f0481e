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
import { type Close, closeAll, compareText, orCloseAll, thenCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import type { BuildContext, BuildSources, Selection } from '../build-context/index.js';
import { mountCache } from './cache-mounts.js';
import type { BuildRequest, StepTree } from './types.js';

const SECRETS = '/run/secrets';
const SSH_SOCKET = '/run/buildkit/ssh_agent';

/** Source of a mount's files. */
export interface MountSource {
  readonly context: BuildContext;
  /** Files of a stage or an image, which are read without a copy. */
  readonly tree: StepTree | undefined;
}

/** The mounts of a RUN, resolved and hashed but not created. */
interface PlannedMounts {
  /** The part of the mounts that determines the result, without secrets and cache contents. */
  readonly key: string | undefined;
  /** Creates the mounts; release them after the run. Throws DockerfileError, UsageError, SubvolumeError. */
  open(): Promise<OpenMounts>;
}

/** The created mounts of a run. */
interface OpenMounts extends Required<Pick<RunInput, 'volumes' | 'memoryFiles' | 'tmpfs'>> {
  readonly volumes: readonly VolumeMount[];
  readonly memoryFiles: readonly MemoryFile[];
  readonly tmpfs: readonly TmpfsMount[];
  /** Environment variables for the command: `K=V`. */
  readonly env: readonly string[];
  /** Secret values. */
  readonly secrets: readonly string[];
  release(): Promise<void>;
}

interface MountDeps {
  readonly deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'rootfs' | 'progress'>;
  readonly request: BuildRequest;
  readonly sources: BuildSources;
  /** Resolves `from=`; undefined means the build context. */
  readonly findSource: (from: string | undefined) => Promise<MountSource>;
}

/** Collects the results of opening mounts. */
interface Opening {
  readonly volumes: VolumeMount[];
  readonly memoryFiles: MemoryFile[];
  readonly tmpfs: TmpfsMount[];
  readonly env: string[];
  readonly secrets: string[];
}

/** State shared by all mounts of a run. */
interface RunOpening {
  readonly releases: Close[];
  /** IDs of cache mounts already opened in this run. */
  readonly caches: Set<string>;
}

/** A mount before the run. */
interface PlannedMount {
  readonly key: object;
  /** ID of a cache mount. */
  readonly cache?: string;
  readonly open: (opening: Opening, run: RunOpening) => Promise<void>;
}

/** Plans the mounts of an expanded RUN. `workdir` is absolute. Throws DockerfileError, NotFoundError. */
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
      const all: RunOpening = { releases: [], caches: new Set() };
      const release = (): Promise<void> => closeAll(all.releases.splice(0).reverse());
      const openings = planned.map((mount) => {
        return { mount, opening: { volumes: [], memoryFiles: [], tmpfs: [], env: [], secrets: [] } };
      });
      await orCloseAll(async () => {
        // A fixed order of caches prevents a deadlock between runs that use the same ones.
        const order = [...openings].sort((a, b) => compareText(a.mount.cache ?? '', b.mount.cache ?? ''));
        for (const { mount, opening } of order) await mount.open(opening, all);
      }, [release]);
      return {
        volumes: openings.flatMap(({ opening }) => opening.volumes),
        memoryFiles: openings.flatMap(({ opening }) => opening.memoryFiles),
        tmpfs: openings.flatMap(({ opening }) => opening.tmpfs),
        env: openings.flatMap(({ opening }) => opening.env),
        secrets: openings.flatMap(({ opening }) => opening.secrets),
        release,
      };
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

async function planCache(
  context: MountDeps,
  { mount, target }: { readonly mount: RunMount; readonly target: string },
): Promise<PlannedMount> {
  const { from, source, sharing, mode, uid, gid, readOnly } = mount;
  const id = mount.id ?? target;
  const { deps, request } = context;
  // Waits before the step runs, because the stage may need the step's slot.
  const filler = from === undefined ? undefined : await context.findSource(from);
  return {
    // Cache contents are not part of the key.
    key: { type: 'cache', id, target, from, source, readOnly },
    cache: id,
    open: async (opening, run) => {
      const fill = filler && ((directory: string): Promise<void> => copyInto(context, filler, { source, directory }));
      const mounted = await mountCache(
        deps,
        { id, target, sharing, mode, uid, gid, readOnly, fill, source: from === undefined ? source : undefined },
        {
          keeper: request.cacheMounts,
          isHeld: run.caches.has(id),
          signal: request.signal,
          onWait: () => deps.progress.note(`waiting for another build that uses the cache ${id}`),
        },
      );
      run.caches.add(id);
      opening.volumes.push(mounted.volume);
      run.releases.push(() => mounted.release());
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
  // The key identifies all files of a stage or an image; for a part of them, the contents are hashed.
  const content = found.tree !== undefined && isWhole ? `${found.tree.key} ${found.tree.step ?? ''}` : undefined;
  const digest = content ?? (await digestOf(context, found, source));
  return {
    key: { type: 'bind', target, readOnly, digest, name: isWhole ? undefined : posix.basename(source) },
    open: async (opening, run) => {
      if (found.tree !== undefined) {
        const directory = readOnly
          ? context.deps.snapshots.layerPath(found.tree.subvolume)
          : await workOn(context, found.tree, run);
        const path = await context.deps.rootfs.realPath(directory, source);
        opening.volumes.push({ source: path, target, readOnly });
        return;
      }
      // A context appears without ignored files, and writes to it are discarded.
      const directory = await workOn(context, undefined, run);
      await copyInto(context, found, { source, directory });
      const name = posix.resolve('/', source).slice(1);
      const isFile = found.context.tree.node(name)?.type !== 'directory';
      const path = isFile ? await context.deps.rootfs.realPath(directory, posix.basename(source)) : directory;
      opening.volumes.push({ source: path, target, readOnly });
    },
  };
}

/** A writable subvolume that is removed with the mount. */
async function workOn({ deps, request }: MountDeps, tree: StepTree | undefined, run: RunOpening): Promise<string> {
  const key = randomBytes(16).toString('hex');
  const alive = await deps.metadata.lock(`work-${key}`, { mode: 'exclusive', signal: request.signal });
  run.releases.push(
    () => alive.release(),
    () => deps.snapshots.removeWork(key),
  );
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
  return thenCloseAll(() => act(selection), [() => selection.close()]);
}

/** A COPY instruction with `source` unchanged. */
function copyOf(source: string): CopyInstruction {
  const start = { line: 1, column: 1 };
  return {
    keyword: 'COPY',
    ...{ file: '--mount', start, end: start, text: `COPY ${source} /`, written: 'COPY', escape: '\\', comments: [] },
    ...{ sources: [source], heredocs: [], destination: '/', link: false, excludes: [], parents: false },
  };
}
