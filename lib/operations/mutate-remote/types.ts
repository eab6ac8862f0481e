import type { MembersOutput, PackedLayer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import type { Descriptor, DiffId, Platform, ReopenableBlob } from '../../spec/index.js';
import type { RemoteBuildDeps } from '../build-remote/index.js';
import type { BlobPlace } from '../copy/index.js';
import type { ImageChangeRequest } from '../mutate/index.js';

/** The image to start from, the changes, and the destination of the new image. */
export interface RemoteChangeRequest extends Pick<
  ImageChangeRequest,
  'message' | 'author' | 'changes' | 'sourceDateEpoch' | 'signal'
> {
  /** `REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`. */
  readonly image: string;
  /** `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`. */
  readonly destination: string;
  /** Of an index, the image to start from. */
  readonly platform: Platform;
  /** Whether the user named it: an image for another one is an error then, else a remark. */
  readonly platformGiven: boolean;
}

/** What changing images without a store works with. */
export interface RemoteChangeDeps extends RemoteBuildDeps {
  /** `packFileTree` of the room layer. */
  readonly packFileTree: (tree: FileTree, output: MembersOutput) => Promise<PackedLayer>;
}

/** A layer of the new image, and its bytes. */
export interface NewLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly source: ReopenableBlob;
  /** The repository that has it. */
  readonly place: BlobPlace['place'] | undefined;
}
