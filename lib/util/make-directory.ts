import { mkdirSync } from 'node:fs';

/** Makes a directory, mode 0700, and what is missing above it; one that is there is fine. Throws node's system error. */
export function makeDirectory(path: string): void {
  // Synchronous: node's asynchronous form says ENOENT where the file system is full.
  mkdirSync(path, { recursive: true, mode: 0o700 });
}
