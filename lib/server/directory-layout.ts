import { join } from 'node:path';
import { digestAlgorithm, digestHex, type Digest } from '../spec/index.js';

/** Version of the layout, stored in `registry.json`; see docs/embedded-registry.md. */
export const LAYOUT_VERSION = 1;

/**
 * Paths in a registry directory. No component of a repository name starts with `_`, so a repository's data can lie
 * beside nested repositories. Arguments must be valid names and digests.
 */
export class DirectoryLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get versionFile(): string {
    return join(this.root, 'registry.json');
  }

  /** Files being written; any found at start-up are garbage. */
  get temporary(): string {
    return join(this.root, 'tmp');
  }

  get repositories(): string {
    return join(this.root, 'repositories');
  }

  sharedBlobs(algorithm: string): string {
    return join(this.root, 'blobs', algorithm);
  }

  sharedBlob(digest: Digest): string {
    return join(this.sharedBlobs(digestAlgorithm(digest)), digestHex(digest));
  }

  repository(name: string): string {
    return join(this.repositories, name);
  }

  /** Hard link to the shared blob. The repository has the blob while this link exists. */
  blob(repository: string, digest: Digest): string {
    return join(this.repository(repository), '_blobs', digestAlgorithm(digest), digestHex(digest));
  }

  manifests(repository: string): string {
    return join(this.repository(repository), '_manifests');
  }

  manifest(repository: string, digest: Digest): string {
    return join(this.manifests(repository), digestAlgorithm(digest), digestHex(digest));
  }

  tags(repository: string): string {
    return join(this.repository(repository), '_tags');
  }

  tag(repository: string, tag: string): string {
    return join(this.tags(repository), tag);
  }

  /** Directory of the referrers of one subject. */
  referrers(repository: string, subject: Digest): string {
    return join(this.repository(repository), '_referrers', digestAlgorithm(subject), digestHex(subject));
  }

  referrer(repository: string, subject: Digest, digest: Digest): string {
    return join(this.referrers(repository, subject), `${digestAlgorithm(digest)}-${digestHex(digest)}`);
  }

  /** Images of protocol v1, one directory each. */
  get v1Images(): string {
    return join(this.root, 'v1', 'images');
  }

  v1Image(id: string): string {
    return join(this.v1Images, id);
  }

  /** File with the ID of the v1 image from which a manifest was created. */
  v1ImageOf(repository: string, manifest: Digest): string {
    return join(this.repository(repository), '_v1', digestAlgorithm(manifest), digestHex(manifest));
  }

  uploads(repository: string): string {
    return join(this.repository(repository), '_uploads');
  }

  upload(repository: string, id: string): string {
    return join(this.uploads(repository), id);
  }
}
