/**
 * Runs commands in containers through an OCI runtime (crun, runc): the runtime's config, the user, the mounts, and cleaning
 * up afterwards. Knows no images, no snapshots, no records.
 * May import: errors, spec, progress, util, sys, rootfs.
 */
export { createContainerRuntime, type RuntimeOptions } from './container-runtime.js';
export type * from './types.js';
