/**
 * Registry clients: protocol v2 (OCI distribution-spec 1.1 and Docker's) and v1. Transfers bytes unchanged; verifies
 * manifests, leaves verifying blobs to their consumer. Stores nothing.
 * May import `errors`, `spec`, `progress`, `util`, `sys`, `http` and `auth`.
 */
export { createRegistryClient, type RegistryClientOptions } from './client.js';
export * from './types.js';
export type { RegistryVersion } from './v1/protocol.js';
export * from './v1/types.js';
