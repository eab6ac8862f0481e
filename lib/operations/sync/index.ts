export { prometheusText } from './metrics.js';
export { parseAge } from './parse-age.js';
export { DEFAULT_MAX_DELETE, parseRegex, readSyncFile, type SyncFileOptions } from './read-sync-file.js';
export { checkRanges } from './select-tags.js';
export * from './sync.js';
export * from './sync-rule.js';
export * from './types.js';
