import { join } from 'node:path';
import { InvalidReferenceError } from '../errors.js';
import { digestAlgorithm, digestHex, digestOf, isDigest, parseDigest, type Digest } from '../spec/index.js';

/** Directory of published blobs below the store's root, one directory an algorithm in it. */
export const BLOBS = 'blobs';
/**
 * Directory of what is being written: `<algorithm>-<hex>/` for downloads, `part-<hex of the key>/` for those whose digest is
 * not known before, files `tmp-<random>` for the rest.
 */
export const INGEST = 'ingest';
const PART = 'part-';
/** The bytes of an ingest, in its directory. */
export const DATA = 'data';
/** What an ingest is, for people and for gc: digest, size, media type, when it began. */
export const STATE = 'state.json';

/** Path of a blob. Throws InvalidReferenceError for what is not a digest (CVE-2014-9358, CVE-2024-3727). */
export function blobPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), digestHex(digest));
}

/** Directory a blob lies in. Throws as `blobPath`. */
export function blobDirectory(root: string, digest: Digest): string {
  return join(root, BLOBS, digestAlgorithm(checked(digest)));
}

/** Directory of the download of a blob. Throws as `blobPath`. */
export function ingestDirectory(root: string, digest: Digest): string {
  return join(root, INGEST, checked(digest).replace(':', '-'));
}

/** Directory of a download that is known by a key of the caller's. */
export function partDirectory(root: string, key: string): string {
  return join(root, INGEST, `${PART}${digestHex(digestOf(key))}`);
}

/** Whether something in the directory of what is being written is a download by key. */
export function isPart(name: string): boolean {
  return name.startsWith(PART);
}

/** The digest an ingest directory is named after, or undefined. */
export function ingestDigest(name: string): Digest | undefined {
  const digest = name.replace('-', ':');
  return isDigest(digest) ? digest : undefined;
}

/** The type says it is checked, but a caller in JavaScript or a cast may not have done it. */
function checked(digest: Digest): Digest {
  if (typeof digest !== 'string')
    throw new InvalidReferenceError('a digest must be a string', { input: String(digest) });
  return parseDigest(digest);
}
