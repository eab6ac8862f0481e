/**
 * The vocabulary of container images: digests, descriptors, manifests, configs, references, platforms.
 * Pure: no I/O, no state. May import `errors` only.
 */
export * from './build-schema1.js';
export * from './chain-id.js';
export * from './compression.js';
export * from './config.js';
export * from './convert-manifest.js';
export * from './descriptor.js';
export * from './digest.js';
export type { ExecutionConfig, HealthConfig } from './execution-config.js';
export * from './image-form.js';
export * from './manifest.js';
export * from './media-type.js';
export * from './oci-image.js';
export * from './parse-json.js';
export * from './platform.js';
export * from './reference.js';
export * from './referrers-tag.js';
export * from './transport-name.js';
export * from './transport.js';
export * from './schema1-signature.js';
export * from './schema1.js';
export * from './v1/index.js';
