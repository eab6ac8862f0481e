import { posix } from 'node:path';

/** The directory that WORKDIR `path` leads to from `base`; absolute, without `.`, `..` or a slash at the end. */
export function resolveWorkdir(base: string | undefined, path: string): string {
  return posix.resolve('/', base ?? '', path);
}
