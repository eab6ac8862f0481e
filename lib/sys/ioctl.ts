import { lastErrno, syscallError } from './errno.js';
import * as libc from './libc.js';

/** An ioctl request: its number, and its name for messages. */
export interface IoctlRequest {
  readonly name: string;
  readonly number: number;
}

/** Runs a short ioctl on the calling thread. Modifies `argument` in place. Throws SyscallError. */
export function ioctl(fd: number, request: IoctlRequest, argument: Uint8Array): void {
  if (libc.ioctl(fd, request.number, argument) < 0) throw syscallError(request.name);
}

/**
 * Runs an ioctl that may wait for the disk on a thread of the pool. Resolves when `argument` is filled. Throws
 * SyscallError with `path`.
 */
export function ioctlAsync(
  fd: number,
  request: IoctlRequest,
  argument: Uint8Array,
  path?: string | Uint8Array,
): Promise<void> {
  return settle(request.name, (done) => libc.ioctl.async(fd, request.number, argument, done), path);
}

/** Runs a C function that returns -1 and sets errno on failure off the main thread. `path`: for the error message. */
export function settle(
  syscall: string,
  start: (done: (error: Error | null, result: number) => void) => void,
  path?: string | Uint8Array,
): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      // koffi provides the errno of the other thread only during this callback.
      const errno = lastErrno();
      if (error !== null) reject(error);
      else if (result < 0) reject(syscallError(syscall, path, errno));
      else resolve();
    });
  });
}
