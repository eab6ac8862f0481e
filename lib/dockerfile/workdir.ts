import { posix } from 'node:path';

/** Resolves WORKDIR `path` from `base`: absolute, without `.`, `..` or a trailing slash. */
export function resolveWorkdir(base: string | undefined, path: string): string {
  return posix.resolve('/', base ?? '', path);
}
