import { join } from 'node:path';
import { InvalidReferenceError } from '../errors.js';
import { digestAlgorithm, digestHex, digestOf, isDigest, parseDigest, type Digest } from '../spec/index.js';

/** Directory of published blobs below the store's root; contains one directory per algorithm. */
export const BLOBS = 'blobs';
/**
 * Directory of unfinished writes: `<algorithm>-<hex>/` for downloads, `part-<hex of the key>/` for downloads without a
 * known digest, files `tmp-<random>` for everything else.
 */
export const INGEST = 'ingest';
const PART = 'part-';
/** Name of an ingest's data file. */
export const DATA = 'data';
/** Name of an ingest's description, for people and gc: digest, size, media type, start time. */
export const STATE = 'state.json';

/** Path of a blob. Throws InvalidReferenceError for an invalid digest (CVE-2014-9358, CVE-2024-3727). */
export function blobPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), digestHex(digest));
}

/** Directory of a blob. Throws the errors of `blobPath`. */
export function blobDirectory(root: string, digest: Digest): string {
  return join(root, BLOBS, digestAlgorithm(checked(digest)));
}

/** Directory of the download of a blob. Throws the errors of `blobPath`. */
export function ingestDirectory(root: string, digest: Digest): string {
  return join(root, INGEST, checked(digest).replace(':', '-'));
}

/** Directory of a download identified by a key. */
export function partDirectory(root: string, key: string): string {
  return join(root, INGEST, `${PART}${digestHex(digestOf(key))}`);
}

/** Reports whether `name` in INGEST is a download identified by a key. */
export function isPart(name: string): boolean {
  return name.startsWith(PART);
}

/** The digest in the name of an ingest directory, or undefined. */
export function ingestDigest(name: string): Digest | undefined {
  const digest = name.replace('-', ':');
  return isDigest(digest) ? digest : undefined;
}

/** Validates at run time, because a JavaScript caller or a cast may bypass the type. */
function checked(digest: Digest): Digest {
  if (typeof digest !== 'string')
    throw new InvalidReferenceError('a digest must be a string', { input: String(digest) });
  return parseDigest(digest);
}
