/**
 * The only HTTP client: per-host queues, retries, redirects, timeouts and redaction. It knows nothing about registries and
 * adds no credentials. The only room that imports got and p-queue, both loaded by the first request.
 * May import `errors`, `spec`, `progress`, `util`, `sys`.
 */
export { readCapped, readDocument } from './capped-body.js';
export { createHttpClient } from './client.js';
export { KnownHosts, type HostFacts, type UploadWay } from './host-facts.js';
export { mayLeadTo } from './host-reach.js';
export { isLoopbackHost } from './loopback.js';
export { redactText, redactUrl } from './redact.js';
export { resolveLocation } from './redirect.js';
export { isRetryableStatus } from './retry.js';
export * from './types.js';
