import type { MembersOutput, PackedLayer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import type { Descriptor, DiffId, Platform, ReopenableBlob } from '../../spec/index.js';
import type { RemoteBuildDeps } from '../build-remote/index.js';
import type { BlobPlace } from '../copy/index.js';
import type { ImageChangeRequest } from '../mutate/index.js';

/** The source image, the changes, and the destination of the new image. */
export interface RemoteChangeRequest extends Pick<
  ImageChangeRequest,
  'message' | 'author' | 'changes' | 'sourceDateEpoch' | 'signal'
> {
  /** `REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`. */
  readonly image: string;
  /** `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`. */
  readonly destination: string;
  /** Platform to choose from an index. */
  readonly platform: Platform;
  /** True if the user named it: another platform is then an error instead of a note. */
  readonly platformGiven: boolean;
}

export interface RemoteChangeDeps extends RemoteBuildDeps {
  /** `packFileTree` of the room layer. */
  readonly packFileTree: (tree: FileTree, output: MembersOutput) => Promise<PackedLayer>;
}

/** A layer of the new image with its bytes. */
export interface NewLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly source: ReopenableBlob;
  /** The repository of the layer, if any. */
  readonly place: BlobPlace['place'] | undefined;
}
