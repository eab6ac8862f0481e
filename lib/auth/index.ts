/**
 * From a 401 to an `Authorization` header: challenges, bearer tokens, where a password may go. Sends no request but to
 * token services and keeps nothing on disk. May import `errors`, `spec`, `progress`, `util`, `sys` and `http`.
 */
export { createAuthorizer, type AuthorizerOptions } from './authorizer.js';
export { parseChallenges, type Challenge } from './challenge.js';
export * from './types.js';
