import { closeSync, constants } from 'node:fs';
import { posix } from 'node:path';
import { ContainerStartError } from '../errors.js';
import { resolveInRoot } from '../rootfs/index.js';
import { AT_FDCWD, isErrno, openAt, OPEN_DIRECTORY } from '../sys/index.js';

const { S_IFMT, S_IFREG } = constants;

/**
 * Looks for the program in the container's files as execvp(3) would, so that a wrong name is told before anything is made.
 * Throws ContainerStartError (126, 127), SyscallError.
 */
export function checkCommand(
  root: string,
  { args, env, cwd }: { readonly args: readonly string[]; readonly env: readonly string[]; readonly cwd: string },
): void {
  const program = args[0]!;
  const search = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  const paths = program.includes('/')
    ? [posix.resolve(cwd, program)]
    : search.split(':').map((directory) => posix.resolve(cwd, directory, program));
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    const found = paths.map((path) => kindOf(rootFd, path));
    if (found.includes('executable')) return;
    if (found.includes('other'))
      throw new ContainerStartError(`${program} is not an executable file in the container`, { exitCode: 126 });
  } finally {
    closeSync(rootFd);
  }
  throw new ContainerStartError(
    program.includes('/')
      ? `there is no ${program} in the container`
      : `there is no ${program} in the container's PATH`,
    { exitCode: 127, ...(program.includes('/') ? {} : { hint: `PATH is ${search}` }) },
  );
}

function kindOf(root: number, path: string): 'executable' | 'other' | undefined {
  try {
    const { dir, stat } = resolveInRoot(root, Buffer.from(path));
    closeSync(dir);
    if (stat === undefined) return undefined;
    return (stat.mode & S_IFMT) === S_IFREG && (stat.mode & 0o111) !== 0 ? 'executable' : 'other';
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) return undefined;
    throw error;
  }
}
