/**
 * Every error a caller of imgtool can meet. `message` states the facts in one line, `hint` says what to do next,
 * `code` is stable and mapped to an exit code in `cli/exit-of-error.ts`. Secrets never enter a message: URLs are redacted
 * before they get here (`http/redact.ts`). Cancellation is the platform's `AbortError` and is never wrapped.
 */
export * from './errors/base.js';
export * from './errors/causes.js';
export * from './errors/content.js';
export * from './errors/machine.js';
export * from './errors/registry.js';
export * from './errors/runs.js';
export * from './errors/usage.js';
export * from './errors/without-logins.js';
