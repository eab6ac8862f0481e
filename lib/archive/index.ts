/**
 * Images in files: reads and writes OCI image layouts, oci-archives, docker-archives and v1 archives. Knows no store and no
 * registry, only manifests and blobs. Archives are tars of plain files, for which `tar-stream` is sufficient.
 * May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export * from './types.js';
export { ArchiveDestination, openArchiveDestination, type ArchiveDestinationOptions } from './archive-destination.js';
export { ArchiveSource, openArchiveSource } from './archive-source.js';
export { openImageArchive, type OpenArchiveOptions } from './open-archive.js';
export { createImageArchive, type CreateArchiveOptions } from './create-archive.js';
export { searchLayer, type LayerAnswer, type LayerSearch } from './search-layer.js';
