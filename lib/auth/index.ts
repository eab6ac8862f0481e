/**
 * From a 401 response to an `Authorization` header: challenges, bearer tokens, rules for where a password may go; and the
 * user's logins: credentials files and helpers. Sends requests only to token services. May import `errors`, `spec`,
 * `progress`, `util`, `sys` and `http`.
 */
export { createAuthorizer, type AuthorizerOptions } from './authorizer.js';
export { parseChallenges, type Challenge } from './challenge.js';
export { createCredentialStore, type CredentialStoreOptions } from './credential-store.js';
export { parseRegistryKey } from './registry-key.js';
export * from './types.js';
