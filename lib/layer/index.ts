/**
 * Layers as tar streams: packs changes into a layer, unpacks layers onto a rootfs. Knows no registry, store or snapshot.
 * May import `errors`, `spec`, `progress`, `util`, `sys`, `rootfs`.
 */
export * from './types.js';
export { packLayer, packTree, type PackedLayer, type PackInput, type PackTreeInput } from './pack.js';
export { recompressLayer, type RecompressInput, type RecompressedLayer } from './recompress.js';
export type { LayerChange } from './pack-plan.js';
export { beginsTar } from './begins-tar.js';
export { LayeredTree, type LayeredTreeOptions, type TarLayer } from './members/layered-tree.js';
export { createLayerBuilder, type LayerBuilder } from './members/layer-builder.js';
export { packFileTree, type MembersOutput } from './members/write-layer.js';
export { isLayerIndex, LayerIndex } from './members/layer-index.js';
export { createLayerApplier, createLayerIndexer, type LayerApplierOptions } from './applier.js';
export { SourceFailedError } from './source-failed-error.js';
