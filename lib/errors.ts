/**
 * Every error that a caller of imgtool can meet. `message` states the facts in one line, `hint` the next action, and
 * `code` is stable; `cli/exit-of-error.ts` maps it to an exit code. Messages never contain secrets: URLs are redacted
 * beforehand (`http/redact.ts`). Cancellation is the platform's `AbortError`, never wrapped.
 */
export * from './errors/base.js';
export * from './errors/causes.js';
export * from './errors/content.js';
export * from './errors/machine.js';
export * from './errors/registry.js';
export * from './errors/runs.js';
export * from './errors/usage.js';
export * from './errors/without-logins.js';
