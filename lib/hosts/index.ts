/**
 * This machine's settings for hosts, from the files and variables that Docker and podman read: certificates, proxies,
 * mirrors, short names. Only reads; sends nothing and knows no credentials. May import `errors`, `spec`, `util`.
 */
export type { Certificates } from './certificates.js';
export { hostCertificates } from './host-certificates.js';
export { thisMachine, type MachineEnvironment } from './machine.js';
export { proxyFor } from './proxy.js';
export { shortNames } from './short-names.js';
export { registrySources, type RegistrySource, type RegistrySources } from './registry-sources.js';
export { runtimeDirectory } from './runtime-directory.js';
