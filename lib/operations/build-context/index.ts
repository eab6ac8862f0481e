/**
 * Build contexts: where COPY, ADD and mounts take files from, and how what they select is hashed and written.
 */
export type * from './types.js';
