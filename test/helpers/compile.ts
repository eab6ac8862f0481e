import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from './run.js';

/** The compiler that this project uses. */
export const COMPILER = resolve('node_modules/typescript/bin/tsc');

/** The oldest compiler that programs with this library may use; `bin/dev/setup` installs it. */
export const OLDEST_COMPILER = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'imgtool-typescript/node_modules/typescript/bin/tsc',
);

/**
 * Compiles programs of the library's users (absolute paths) strictly, the declarations of the library included, with a
 * tsconfig.json that it writes to `directory`. Throws with what the compiler prints.
 */
export async function compileStrictly(
  compiler: string,
  { directory, files, options }: { directory: string; files: readonly string[]; options: object },
): Promise<void> {
  const compilerOptions = {
    target: 'ES2023',
    lib: ['ES2023', 'ESNext.Disposable'],
    types: ['node'],
    typeRoots: [resolve('node_modules/@types')],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noUnusedLocals: true,
    skipLibCheck: false,
    ...options,
  };
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  await run(process.execPath, [compiler, '-p', directory]);
}
