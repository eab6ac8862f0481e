import { ImgtoolError, type ErrorOptions } from './base.js';

/** A system call failed; `errno` is its name (`ENOENT`). */
export class SyscallError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SYSCALL';
  readonly errno: string;
  readonly syscall: string;
  readonly path: string | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { readonly errno: string; readonly syscall: string; readonly path?: string | undefined },
  ) {
    super(message, options);
    this.errno = options.errno;
    this.syscall = options.syscall;
    this.path = options.path;
  }
}

abstract class PathError extends ImgtoolError {
  readonly path: string;
  constructor(message: string, options: ErrorOptions & { readonly path: string }) {
    super(message, options);
    this.path = options.path;
  }
}

/** The local store or its btrfs is unusable: no permission, no btrfs, no loop device, unknown version. */
export class StoreError extends PathError {
  readonly code = 'ERR_IMGTOOL_STORE';
}

/** A btrfs subvolume could not be created, snapshotted or removed. */
export class SubvolumeError extends PathError {
  readonly code = 'ERR_IMGTOOL_SUBVOLUME';
}

/** A program that imgtool needs is missing or failed; `stderr` is the tail of its output. */
export class CommandError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_COMMAND';
  readonly argv: readonly string[];
  readonly exitCode: number | undefined;
  readonly stderr: string;
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly argv: readonly string[];
      readonly exitCode?: number | undefined;
      readonly stderr?: string;
    },
  ) {
    super(message, options);
    this.argv = options.argv;
    this.exitCode = options.exitCode;
    this.stderr = options.stderr ?? '';
  }
}

/** There is not enough disk space; all figures in bytes. */
export class DiskSpaceError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_DISK_SPACE';
  readonly needed: number | undefined;
  readonly available: number | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { readonly needed?: number | undefined; readonly available?: number | undefined } = {},
  ) {
    super(message, options);
    this.needed = options.needed;
    this.available = options.available;
  }
}
