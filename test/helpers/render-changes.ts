import type { Change } from '../../lib/rootfs/index.js';
import { displayPath } from '../../lib/sys/index.js';

/** One line a change: kind, path, type, what changed, size and old size. */
export function renderChanges(changes: readonly Change[]): string[] {
  return changes.map(({ kind, path, type, changed, size, oldSize }) => {
    const sizes = kind === 'D' ? [oldSize] : [size, oldSize];
    const shown = sizes.map((bytes) => (bytes === undefined ? '' : String(bytes))).filter((text) => text !== '');
    return [kind, displayPath(path), type, changed.join(','), ...shown].filter((text) => text !== '').join(' ');
  });
}
