import { closeSync } from 'node:fs';
import { AT_FDCWD, openAt, OPEN_DIRECTORY } from '../sys/index.js';
import type { Change } from './change.js';
import { TreeComparison } from './compare-trees.js';

/** The longest time that a comparison blocks this thread. Milliseconds. */
const SLICE_MS = 15;

/**
 * The changes from directory `lower` to directory `upper` (absolute paths), found by walking both trees and comparing
 * every entry, file contents byte by byte. Without `lower` everything is added. The trees must not change meanwhile.
 * The time is proportional to their size. Throws SyscallError, AbortError.
 */
export async function walkChanges(
  lower: string | undefined,
  upper: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Change[]> {
  const opened: number[] = [];
  let comparison: TreeComparison | undefined;
  try {
    for (const path of lower === undefined ? [upper] : [upper, lower])
      opened.push(openAt(AT_FDCWD, path, OPEN_DIRECTORY));
    comparison = new TreeComparison(opened[1], opened[0]!);
    await runInSlices(comparison.visit(), options.signal);
    return comparison.changes();
  } finally {
    comparison?.close();
    opened.forEach((fd) => closeSync(fd));
  }
}

/**
 * Runs a generator to its end, but lets timers and I/O of this thread run every few milliseconds. Closes the generator
 * when it does not finish. Throws AbortError.
 */
export async function runInSlices(steps: Generator<void, void>, signal?: AbortSignal): Promise<void> {
  let until = performance.now() + SLICE_MS;
  try {
    for (let step = steps.next(); step.done !== true; step = steps.next()) {
      if (performance.now() < until) continue;
      await new Promise<void>((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      until = performance.now() + SLICE_MS;
    }
  } finally {
    steps.return();
  }
}
