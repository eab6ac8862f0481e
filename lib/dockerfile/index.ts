/**
 * The Dockerfile language: text to typed instructions, expansion, stages, .dockerignore, globs, lint rules, `--change`.
 * Pure: no I/O, no state; building is the work of operations. May import `errors`, `spec` and pure helpers of `util`.
 */
export * from './instructions.js';
export * from './signatures.js';
