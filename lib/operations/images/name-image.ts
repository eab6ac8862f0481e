import { NotFoundError, UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { formatReference, parseReference, type Digest, type Reference } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { findImage, takeName } from '../store/index.js';

/** The image and its full new name. */
export interface NamedImage {
  readonly id: Digest;
  readonly name: string;
}

/** Adds a name to an image; an image that had the name loses it. Throws NotFoundError, UsageError. */
export async function tagImage(
  deps: Pick<OperationDeps, 'metadata'>,
  { image, reference, signal }: { readonly image: string; readonly reference: Reference; readonly signal: AbortSignal },
): Promise<NamedImage> {
  if (reference.tag === undefined || reference.digest !== undefined) {
    throw new UsageError('a digest cannot be given as a name', { hint: 'write HOST/REPOSITORY:TAG' });
  }
  const name = formatReference({ host: reference.host, repository: reference.repository, tag: reference.tag });
  return withNames(deps, signal, async () => {
    const { record } = await findImage(deps, image);
    // The new image comes first: after a crash in between, both images have the name.
    await putNames(deps, record, [...record.names, name]);
    await takeName(deps, name, record);
    return { id: record.id, name };
  });
}

/** Removes a name from its image; the image stays, even without a name. Throws NotFoundError. */
export async function untagImage(
  deps: Pick<OperationDeps, 'metadata'>,
  { reference, signal }: { readonly reference: string; readonly signal: AbortSignal },
): Promise<NamedImage> {
  const name = formatReference(parseReference(reference));
  deps.metadata.makeRoom();
  return withNames(deps, signal, async () => {
    const holders = (await deps.metadata.images.list()).filter(({ names }) => names.includes(name));
    for (const holder of holders) await putNames(deps, holder, without(holder.names, name));
    const first = holders[0];
    if (first !== undefined) return { id: first.id, name };
    throw new NotFoundError(`no image has the name ${name}`, {
      kind: 'image',
      subject: name,
      hint: 'see "imgtool images" for the names there are',
    });
  });
}

async function withNames<T>(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const store = await metadata.lock('store', { mode: 'shared', signal });
  try {
    const names = await metadata.lock('image-names', { mode: 'exclusive', signal });
    try {
      return await work();
    } finally {
      names.release();
    }
  } finally {
    store.release();
  }
}

function putNames(
  { metadata }: Pick<OperationDeps, 'metadata'>,
  record: ImageRecord,
  names: readonly string[],
): Promise<void> {
  return metadata.images.put({ ...record, names: [...new Set(names)].sort() });
}

function without(names: readonly string[], name: string): string[] {
  return names.filter((entry) => entry !== name);
}
