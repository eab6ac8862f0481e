/**
 * Runs commands in containers through an OCI runtime (crun, runc): the runtime's config, who the user is, what is mounted,
 * and everything gone afterwards. Knows no images, no snapshots, no records.
 * May import: errors, spec, progress, util, sys, rootfs.
 */
export { createContainerRuntime, type RuntimeOptions } from './container-runtime.js';
export type * from './types.js';
