/** Rules of a mirror run: the sync file, skopeo's file, tag selection, conversions. */
export * from './parse-conversion.js';
export * from './parse-regex.js';
export * from './read-sync-file.js';
export * from './sync-file-options.js';
export * from './select-tags.js';
export * from './sync-rule.js';
