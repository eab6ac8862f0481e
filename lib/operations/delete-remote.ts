import { NotFoundError } from '../errors.js';
import type { Digest, Reference } from '../spec/index.js';
import { mapLimited } from '../util/index.js';
import type { OperationDeps } from './deps.js';
import { tagOrDigest } from './inspect-image.js';
import { removeTag } from './sync/remove-tag.js';

/** What was removed; `tags`: those that lost their manifest, sorted. */
export interface DeletedManifest {
  readonly digest: Digest;
  readonly tags: readonly string[];
}

const PARALLEL = 6;

/**
 * Removes the manifest that a reference leads to, and with it all its tags; with `tagOnly` the tag alone. With `dryRun`
 * nothing. Blobs stay until the registry collects them. Throws NotFoundError, RegistryError when deletes are not allowed.
 */
export async function deleteRemoteManifest(
  { registry }: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: { readonly tagOnly: boolean; readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<DeletedManifest> {
  const { signal, tagOnly, dryRun } = options;
  const [reader, writer] = await Promise.all([
    registry.open(reference, { signal, mirrors: false }),
    registry.openWriter(reference, { signal }),
  ]);
  const { digest } = await reader.resolve(tagOrDigest(reference), { signal });
  const listed: string[] = [];
  for await (const tag of reader.tags({ signal })) listed.push(tag);
  const digests = await mapLimited(listed, PARALLEL, async (tag) => {
    try {
      return (await reader.resolve({ tag }, { signal })).digest;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  });
  const tags = listed.filter((_tag, i) => digests[i] === digest).sort();
  if (tagOnly && reference.tag !== undefined) {
    const { tag } = reference;
    const isShared = (): Promise<boolean> => Promise.resolve(tags.some((other) => other !== tag));
    const manifest = await reader.manifest({ tag }, { signal });
    if (!dryRun) await removeTag(writer, { tag, manifest, isShared, signal });
    return { digest, tags: [tag] };
  }
  if (!dryRun) await writer.deleteManifest({ digest }, { signal });
  return { digest, tags };
}
