/**
 * Images in Docker's first format (image/spec/v1.md): one JSON and one layer each, chained by `parent`; their IDs,
 * checksums, and conversion to and from v2 configs. Pure: no I/O, no state.
 */
export * from './ancestry.js';
export * from './compose-v1.js';
export * from './payload-checksum.js';
export * from './build-v1-config.js';
export * from './tar-sum.js';
export * from './v1-annotations.js';
export * from './v1-image.js';
export * from './v1-images-from.js';
