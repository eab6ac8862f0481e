import { NotFoundError, UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import { digestHex, formatReference, parseReference, type Digest, type Reference } from '../../spec/index.js';
import { compareText } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';

/** An image, and how it was found: by a name, or by its ID or digest. */
export interface FoundImage {
  readonly record: ImageRecord;
  /** The full name by which it was found; undefined when found by ID or digest. */
  readonly name: string | undefined;
}

/**
 * Finds a local image by reference, ID or unique prefix of its ID, and otherwise by an alias. Names take precedence.
 * Throws NotFoundError, and UsageError with the candidates if a prefix is ambiguous.
 */
export async function findImage(
  deps: Pick<OperationDeps, 'metadata'> & Partial<Pick<OperationDeps, 'fullName'>>,
  input: string,
): Promise<FoundImage> {
  const records = await deps.metadata.images.list();
  try {
    return findAmong(records, input);
  } catch (error) {
    if (!(error instanceof NotFoundError) || deps.fullName === undefined) throw error;
    const full = await deps.fullName(input);
    const found = full === input ? undefined : byReference(records, parseReference(full));
    if (found === undefined) throw error;
    return found;
  }
}

/** Like `findImage`, in the given records. */
export function findAmong(records: readonly ImageRecord[], input: string): FoundImage {
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(input)?.[1];
  const reference = referenceOf(input, hex);
  if (reference !== undefined) {
    const found = byReference(records, reference);
    if (found !== undefined) return found;
  }
  // Prefers the newest manifest of an image.
  const matches = hex === undefined ? [] : byId(newestFirst(records).filter(({ id }) => digestHex(id).startsWith(hex)));
  if (matches.length === 1) return { record: matches[0]!, name: undefined };
  if (matches.length > 1) {
    throw new UsageError(`${input} is the beginning of ${matches.length} image IDs`, {
      hint: `give more of it: ${candidates(matches.map(({ id }) => `${digestHex(id).slice(0, 16)} (${namesOf(records, id)[0] ?? 'no name'})`))}`,
    });
  }
  throw new NotFoundError(`there is no image ${input} in the store`, {
    kind: 'image',
    subject: input,
    hint: 'see "imgtool images", or fetch it with "imgtool pull"',
  });
}

/** All names of an image, sorted, for all of its manifests. */
export function namesOf(records: readonly ImageRecord[], id: Digest): string[] {
  // While a name is being moved, two records have it.
  return [...new Set(records.flatMap((record) => (record.id === id ? record.names : [])))].sort();
}

/** Formats at most five entries of a list for a hint. */
export function candidates(list: readonly string[]): string {
  return list.slice(0, 5).join(', ') + (list.length > 5 ? ` and ${list.length - 5} more` : '');
}

function referenceOf(input: string, hex: string | undefined): Reference | undefined {
  // A bare ID is not a reference, although its beginning could be a name.
  if (hex !== undefined && (input.startsWith('sha256:') || hex.length === 64)) return undefined;
  return parseReference(input);
}

function byReference(records: readonly ImageRecord[], reference: Reference): FoundImage | undefined {
  // Newest first, because two images have a name while it is being moved.
  const newest = newestFirst(records);
  const { host, repository, tag, digest } = reference;
  if (digest === undefined) {
    const name = formatReference(reference);
    const record = newest.find(({ names }) => names.includes(name));
    return record && { record, name };
  }
  // A source alone may name a manifest that the image no longer has, or from which it was created.
  const record =
    newest.find(
      ({ sources, manifest, index, names }) =>
        (manifest.digest === digest || index?.digest === digest) &&
        [...names, ...sources].some((entry) => entry.replace(/[:@][^/]*$/, '') === `${host}/${repository}`),
    ) ?? newest.find(({ sources }) => sources.includes(`${host}/${repository}@${digest}`));
  const name = tag === undefined ? undefined : formatReference({ host, repository, tag });
  return record && { record, name: name !== undefined && record.names.includes(name) ? name : undefined };
}

function newestFirst(records: readonly ImageRecord[]): ImageRecord[] {
  return records.toSorted((a, b) => compareText(b.pulled, a.pulled));
}

/** The first record of each image. */
function byId(records: readonly ImageRecord[]): ImageRecord[] {
  const seen = new Map<Digest, ImageRecord>();
  for (const record of records) if (!seen.has(record.id)) seen.set(record.id, record);
  return [...seen.values()];
}
