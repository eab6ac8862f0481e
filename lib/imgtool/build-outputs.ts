import { mkdir } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { BuildRequest, BuildResult } from '../operations/index.js';
import { formatReference } from '../spec/index.js';
import { thenCloseAll } from '../util/index.js';
import { parseFields } from './build-options.js';
import { copy } from './copies.js';
import type { Drivers } from './drivers.js';
import { writeTo } from './files.js';
import { push } from './images.js';

/** A destination of a built image besides the store. */
export interface BuildOutput {
  readonly type: 'image' | 'oci' | 'docker' | 'tar' | 'local';
  /** Undefined for `image`. */
  readonly path: string | undefined;
  /** True for an OCI layout in a directory instead of an archive. */
  readonly isLayout: boolean;
}

const TYPES = ['image', 'oci', 'docker', 'tar', 'local'] as const;

/**
 * Parses `type=oci|docker|tar|local,dest=PATH`; `tar=false` makes type oci a directory. A path alone is a directory for
 * the files. Throws UsageError.
 */
export function parseOutput(text: string): BuildOutput {
  if (text !== '' && !text.includes('=')) return { type: 'local', path: text, isLayout: false };
  const fields = parseFields('--output', text, ['type', 'dest', 'name', 'push', 'tar']);
  const type = TYPES.find((name) => name === fields.get('type'));
  if (type === undefined)
    throw new UsageError(`--output has no type ${JSON.stringify(fields.get('type') ?? '')}`, {
      hint: `choose one of ${TYPES.join(', ')}`,
    });
  const path = fields.get('dest');
  if (type !== 'image' && (path === undefined || path === ''))
    throw new UsageError(`--output type=${type} has no dest`, { hint: `write --output type=${type},dest=PATH` });
  if (fields.has('name') || fields.has('push'))
    throw new UsageError('--output takes no name and no push', { hint: 'use --tag and --push' });
  const tar = fields.get('tar');
  if (tar !== undefined && (type !== 'oci' || (tar !== 'true' && tar !== 'false')))
    throw new UsageError('--output takes tar=true or tar=false, for type=oci', {
      hint: 'write --output type=oci,tar=false,dest=DIRECTORY',
    });
  return { type, path, isLayout: tar === 'false' };
}

/** Throws UsageError for an output that can hold only one platform. */
export function checkHoldsIndex(outputs: readonly BuildOutput[]): void {
  const single = outputs.find(({ type }) => type !== 'image' && type !== 'oci');
  if (single === undefined) return;
  throw new UsageError(`--output type=${single.type} holds one platform only`, {
    hint: 'use type=oci or --push, or give one --platform',
  });
}

/**
 * The destinations of a build (`docker://REF`, …) if it goes only to registries, layouts and archives; undefined if it
 * needs the store.
 */
export function destinationsOf(
  { references }: Pick<BuildRequest, 'references'>,
  { outputs, push: isPushed }: { readonly outputs: readonly BuildOutput[]; readonly push: boolean },
): string[] | undefined {
  const names = references.map(formatReference);
  const pushed = isPushed ? names.map((name) => `docker://${name}`) : [];
  const all = [...pushed, ...outputs.map((output) => archiveOf(output, names[0]))];
  return all.length > 0 && all.every((destination) => destination !== undefined) ? all : undefined;
}

/** An archive or layout as a transport destination with the image's name; undefined for other outputs. */
function archiveOf({ type, path, isLayout }: BuildOutput, name: string | undefined): string | undefined {
  if (type === 'oci') {
    const tag = name === undefined ? '' : `:${/:([^:/]+)$/.exec(name)?.[1] ?? 'latest'}`;
    return `${isLayout ? 'oci' : 'oci-archive'}:${path}${tag}`;
  }
  return type === 'docker' ? `docker-archive:${path}${name === undefined ? '' : `:${name}`}` : undefined;
}

/** Writes a built image to its outputs. Throws the errors of copying, exporting and writing. */
export async function writeOutputs(
  drivers: Drivers,
  result: BuildResult,
  { outputs, signal }: { readonly outputs: readonly BuildOutput[]; readonly signal: AbortSignal },
): Promise<void> {
  for (const output of outputs) {
    const { type, path } = output;
    const archive = archiveOf(output, result.names[0]);
    if (archive !== undefined) await copy(drivers, `store:${result.id}`, [archive], { signal });
    else if ((type === 'tar' || type === 'local') && path !== undefined)
      await writeFiles(drivers, result, { type, path, signal });
  }
}

async function writeFiles(
  drivers: Drivers,
  result: BuildResult,
  { type, path, signal }: { readonly type: 'tar' | 'local'; readonly path: string; readonly signal: AbortSignal },
): Promise<void> {
  const deps = await drivers.local();
  const images = await deps.metadata.images.ofImage(result.id);
  const top = images.find(({ manifest }) => manifest.digest === result.digest)?.chainIds.at(-1);
  if (top === undefined) throw new UsageError(`--output type=${type}: the image has no files`);
  const root = deps.snapshots.layerPath(top);
  if (type === 'tar') {
    await writeTo(path, async (output: Writable) => {
      const { notes } = await deps.packTree({ root, name: Buffer.alloc(0), output, signal });
      for (const note of notes) deps.progress.note(note);
    });
    return;
  }
  await mkdir(path, { recursive: true });
  await deps.rootfs.copyPath({
    from: { root, path: '/.' },
    to: { root: undefined, path },
    followLink: false,
    signal,
    onNote: (line) => deps.progress.note(line),
  });
}

/** Pushes a built image under each of its names. Throws the errors of a push. */
export async function pushNames(
  drivers: Drivers,
  { references, signal }: Pick<BuildRequest, 'references' | 'signal'>,
): Promise<void> {
  for (const reference of references) {
    const to = formatReference(reference);
    await push(drivers, to, { to, signal });
  }
}

/** Writes an index of the store to its outputs and pushes it under its names. Throws the errors of copying and pushing. */
export async function deliverIndex(
  drivers: Drivers,
  result: BuildResult,
  {
    request,
    outputs,
    isPushed,
  }: { readonly request: BuildRequest; readonly outputs: readonly BuildOutput[]; readonly isPushed: boolean },
): Promise<void> {
  const { references, signal } = request;
  const archives = destinationsOf(request, { outputs: outputs.filter(({ type }) => type !== 'image'), push: false });
  const local = await drivers.local();
  const { deliverImage, openStoreIndex } = await import('../operations/copy/index.js');
  if (archives !== undefined) {
    const deps = await drivers.transports();
    const source = await openStoreIndex({ ...local, ...drivers.lazyRemote() }, result.digest, { signal });
    await thenCloseAll(() => deliverImage(deps, source, { destinations: archives, signal }), [() => source.close()]);
  }
  for (const reference of isPushed ? references : []) {
    const remote = await drivers.remote(reference);
    const { pushImage } = await import('../operations/push/index.js');
    const { publishManifest } = await import('../operations/registry/index.js');
    for (const { id, digest } of result.images ?? []) {
      const record = (await local.metadata.images.ofImage(id)).find(({ manifest }) => manifest.digest === digest)!;
      const { host, repository } = reference;
      const to = {
        record,
        reference: { host, repository, digest },
        tags: [],
        format: undefined,
        compression: undefined,
      };
      await pushImage({ ...local, ...remote }, { ...to, signal });
    }
    await publishManifest(remote, reference, { bytes: await local.content.read(result.digest), signal });
  }
}
