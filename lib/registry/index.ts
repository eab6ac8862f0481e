/**
 * Registries: one interface, protocol v2 (OCI distribution-spec 1.1 and Docker's) behind it. Moves bytes as they are;
 * verifies manifests, leaves blobs to the ingest. Stores nothing.
 * May import `errors`, `spec`, `progress`, `util`, `sys`, `http` and `auth`.
 */
export { createRegistryClient, type RegistryClientOptions } from './client.js';
export * from './types.js';
