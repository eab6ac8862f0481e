/**
 * Small helpers that know nothing of images, one a file. May import `errors`, `spec`, `progress`.
 */
export * from './atomic-file.js';
export * from './backoff.js';
export * from './both-or-first-error.js';
export * from './closest.js';
export * from './compare-text.js';
export * from './delay.js';
export * from './destroy-on-abort.js';
export * from './escape-text.js';
export * from './file-error.js';
export * from './filter-process.js';
export * from './format-size.js';
export * from './growing-file.js';
export * from './home-directory.js';
export * from './keyed-mutex.js';
export * from './make-directory.js';
export * from './map-limited.js';
export * from './layer-compression.js';
export * from './on-abort.js';
export * from './output-file.js';
export * from './parse-age.js';
export * from './parse-size.js';
export * from './path-text.js';
export * from './read-range.js';
export * from './resume.js';
export * from './roots-own.js';
export * from './run-process.js';
export * from './semaphore.js';
export * from './with-subject.js';
export * from './without-byte-order-mark.js';
