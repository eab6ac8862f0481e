import { digestHex, type Digest } from '../spec/index.js';

/**
 * The files of a directory in skopeo's `dir:` format (containers-transports(5), containers/image `directory`): one
 * image, with blobs named by the hex of their digest, the manifest or index in `manifest.json`, and the manifests of an
 * index beside it.
 */
export const DIRECTORY_VERSION = 'Directory Transport Version: 1.1\n';
export const VERSION_FILE = 'version';
export const MANIFEST_FILE = 'manifest.json';

/** Matches supported versions; 1.0 has the same files. */
export const KNOWN_VERSION = /^Directory Transport Version: 1\./;

/** File name of a blob. */
export function blobFile(digest: Digest): string {
  return digestHex(digest);
}

/** File name of a manifest of an index. */
export function manifestFile(digest: Digest): string {
  return `${digestHex(digest)}.manifest.json`;
}
