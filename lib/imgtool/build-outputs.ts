import { mkdir } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { BuildRequest, BuildResult } from '../operations/index.js';
import { formatReference } from '../spec/index.js';
import { parseFields } from './build-options.js';
import { copy } from './copies.js';
import type { Drivers } from './drivers.js';
import { writeTo } from './files.js';
import { push } from './images.js';

/** Where a built image goes besides the store. */
export interface BuildOutput {
  readonly type: 'image' | 'oci' | 'docker' | 'tar' | 'local';
  /** Undefined for `image`. */
  readonly path: string | undefined;
}

const TYPES = ['image', 'oci', 'docker', 'tar', 'local'] as const;

/** `type=oci|docker|tar|local,dest=PATH`, or a path alone: a directory for the files. Throws UsageError. */
export function parseOutput(text: string): BuildOutput {
  if (text !== '' && !text.includes('=')) return { type: 'local', path: text };
  const fields = parseFields('--output', text, ['type', 'dest', 'name', 'push']);
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
  return { type, path };
}

/** Writes a built image to its outputs. Throws what copying, exporting and writing throw. */
export async function writeOutputs(
  drivers: Drivers,
  result: BuildResult,
  { outputs, signal }: { readonly outputs: readonly BuildOutput[]; readonly signal: AbortSignal },
): Promise<void> {
  for (const { type, path } of outputs) {
    if (type === 'image' || path === undefined) continue;
    if (type === 'oci' || type === 'docker') {
      // A name with a tag is what the archive calls the image.
      const name = result.names[0];
      const tag = name === undefined ? '' : `:${type === 'docker' ? name : (/:([^:/]+)$/.exec(name)?.[1] ?? 'latest')}`;
      await copy(drivers, `store:${result.id}`, [`${type}-archive:${path}${tag}`], { signal });
    } else await writeFiles(drivers, result, { type, path, signal });
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

/** Pushes a built image to each of its names. Throws as a push does. */
export async function pushNames(
  drivers: Drivers,
  { references, signal }: Pick<BuildRequest, 'references' | 'signal'>,
): Promise<void> {
  for (const reference of references) {
    const to = formatReference(reference);
    await push(drivers, to, { to, signal });
  }
}
