import { closeSync, constants, readSync } from 'node:fs';
import { posix } from 'node:path';
import { ContainerStartError } from '../errors.js';
import { openRegular, resolveInRoot } from '../rootfs/index.js';
import { AT_FDCWD, isErrno, openAt, OPEN_DIRECTORY, type FileStat } from '../sys/index.js';
import { binaryFormat, hasHandler } from './binary-formats.js';
import type { ContainerUser } from './find-user.js';

const { S_IFMT, S_IFREG } = constants;
const HEAD_BYTES = 4096;
/** The most nested interpreters that the kernel follows. */
const MAX_INTERPRETERS = 4;
const ROOT = { uid: 0, gid: 0, additionalGids: [] };

/** The command to check. */
interface CommandToCheck {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: Pick<ContainerUser, 'uid' | 'gid' | 'additionalGids'>;
  /** Mount points of volumes; files in them are not checked. */
  readonly volumes: readonly string[];
}

type Found =
  | { readonly kind: 'executable'; readonly head: Buffer }
  | { readonly kind: 'other' | 'not-permitted' | 'in-volume' };

/**
 * Searches the container's files for the program like execvp(3) and checks that the kernel can run it, because runtimes
 * notice a problem only after they have created the container. Throws ContainerStartError (126, 127), SyscallError.
 */
export function checkCommand(root: string, command: CommandToCheck): void {
  const { args, env, cwd } = command;
  const program = args[0]!;
  if (program === '') throw new ContainerStartError('the name of the program is empty', { exitCode: 127 });
  const search = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  const paths = program.includes('/')
    ? [posix.resolve(cwd, program)]
    : search.split(':').map((directory) => posix.resolve(cwd, directory, program));
  const rootFd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
  try {
    let refusal: 'other' | 'not-permitted' | undefined;
    for (const path of paths) {
      const found = findProgram(rootFd, path, command);
      if (found?.kind === 'executable') return checkFormat(rootFd, { path, head: found.head }, command);
      if (found?.kind === 'in-volume') return;
      refusal ??= found?.kind;
    }
    if (refusal !== undefined) {
      const why = refusal === 'other' ? 'is not an executable file in' : 'cannot be executed by this user in';
      throw new ContainerStartError(`${program} ${why} the container`, { exitCode: 126 });
    }
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

function findProgram(
  root: number,
  path: string,
  { user, volumes }: Pick<CommandToCheck, 'user' | 'volumes'>,
): Found | undefined {
  const isInVolume = (place: string): boolean => volumes.some((volume) => `${place}/`.startsWith(`${volume}/`));
  // A file mounted below /dev has no mount point in the container's files.
  if (volumes.includes(path)) return { kind: 'in-volume' };
  let missing = '';
  const makeDirectory = (directory: { readonly path: Buffer }): void => {
    missing ||= `/${directory.path.toString()}`;
  };
  try {
    // The mount points exist, so that a path into a volume leads to one.
    const found = resolveInRoot(root, Buffer.from(path), { makeDirectory });
    try {
      const { stat } = found;
      if (isInVolume(`/${found.path.toString()}`)) return { kind: 'in-volume' };
      if (stat === undefined) return undefined;
      if ((stat.mode & S_IFMT) !== S_IFREG || (stat.mode & 0o111) === 0) return { kind: 'other' };
      if (!mayExecute(stat, user)) return { kind: 'not-permitted' };
      return { kind: 'executable', head: readHead(openRegular(found, stat)) };
    } finally {
      closeSync(found.dir);
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) throw error;
    return isInVolume(missing) ? { kind: 'in-volume' } : undefined;
  }
}

/** Considers the permission bits only: an access control list cannot grant more than the group bits. */
function mayExecute({ mode, uid, gid }: FileStat, user: CommandToCheck['user']): boolean {
  if (user.uid === 0 || (mode & 0o010) !== 0) return true;
  if (user.uid === uid) return (mode & 0o100) !== 0;
  return user.gid !== gid && !user.additionalGids.includes(gid) && (mode & 0o001) !== 0;
}

function readHead(fd: number): Buffer {
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    return head.subarray(0, readSync(fd, head, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}

function checkFormat(
  root: number,
  { path, head }: { readonly path: string; readonly head: Buffer },
  { args, cwd, volumes }: CommandToCheck,
): void {
  const program = args[0]!;
  let [name, bytes] = [path, head];
  for (let depth = 0; depth <= MAX_INTERPRETERS; depth += 1) {
    const format = binaryFormat(bytes);
    if (format.kind === 'foreign' || format.kind === 'unknown') {
      if (hasHandler(bytes, name)) return;
      const what = name === path ? program : `${name}, which ${program} names,`;
      throw format.kind === 'foreign'
        ? new ContainerStartError(`${what} is a program for ${format.architecture}, which this machine cannot run`, {
            exitCode: 126,
            hint: 'use an image for this machine, or install qemu-user-static, which registers emulators (binfmt_misc)',
          })
        : new ContainerStartError(`${what} is neither a binary nor a script that starts with #!`, { exitCode: 126 });
    }
    const next = format.kind === 'script' ? format.interpreter : format.loader;
    // Files below /proc and /dev exist only while the container runs.
    if (next === undefined || /^\/(proc|dev|sys)\//.test(next)) return;
    const found = findProgram(root, posix.resolve(cwd, next), { user: ROOT, volumes });
    if (found === undefined) {
      throw new ContainerStartError(`${program} needs ${next}, which is not in the container`, { exitCode: 127 });
    }
    if (found.kind !== 'executable' || format.kind === 'program') return;
    [name, bytes] = [next, found.head];
  }
}
