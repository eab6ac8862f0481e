import type { ExecutionConfig } from '../../spec/index.js';

/** `applyConfigChanges` of the room dockerfile, which is loaded only for changes. Throws UsageError. */
export async function withConfigChanges(config: ExecutionConfig, changes: readonly string[]): Promise<ExecutionConfig> {
  if (changes.length === 0) return config;
  return (await import('../../dockerfile/index.js')).applyConfigChanges(config, changes);
}
