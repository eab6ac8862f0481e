import { digestHex, type Digest } from '../spec/index.js';

/**
 * The files of a directory as skopeo's `dir:` writes it (containers-transports(5), containers/image `directory`): one image,
 * blobs by the bare hex of their digest, the manifest or index in `manifest.json`, the manifests of an index beside it.
 */
export const DIRECTORY_VERSION = 'Directory Transport Version: 1.1\n';
export const VERSION_FILE = 'version';
export const MANIFEST_FILE = 'manifest.json';

/** What a version that is understood begins with; 1.0 has the same files. */
export const KNOWN_VERSION = /^Directory Transport Version: 1\./;

/** Name of a blob's file. */
export function blobFile(digest: Digest): string {
  return digestHex(digest);
}

/** Name of the file of a manifest that an index names. */
export function manifestFile(digest: Digest): string {
  return `${digestHex(digest)}.manifest.json`;
}
