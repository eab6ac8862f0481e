import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type ts from 'typescript';

/** The oldest compiler that programs with this library may use; `bin/dev/setup` installs it. */
export function oldestTypeScript(): typeof ts {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return createRequire(import.meta.url)(join(cache, 'imgtool-typescript/node_modules/typescript')) as typeof ts;
}
