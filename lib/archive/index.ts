/**
 * Images in files: OCI image layouts, oci-archives, docker-archives and v1 archives, read and written. Knows no store and
 * no registry: manifests and blobs in, manifests and blobs out. Archives are tars of plain files, so `tar-stream` does.
 * May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export * from './types.js';
export { ArchiveDestination, openArchiveDestination, type ArchiveDestinationOptions } from './archive-destination.js';
export { ArchiveSource, openArchiveSource } from './archive-source.js';
export { openImageArchive, type OpenArchiveOptions } from './open-archive.js';
export { createImageArchive, type CreateArchiveOptions } from './create-archive.js';
export { searchLayer, type LayerAnswer, type LayerSearch } from './search-layer.js';
