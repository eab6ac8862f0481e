import { lastErrno, syscallError } from './errno.js';
import * as libc from './libc.js';

/** One ioctl: its number, and the name that a message shows. */
export interface IoctlRequest {
  readonly name: string;
  readonly number: number;
}

/** A short ioctl on the calling thread; `argument` is changed in place. Throws SyscallError. */
export function ioctl(fd: number, request: IoctlRequest, argument: Uint8Array): void {
  if (libc.ioctl(fd, request.number, argument) < 0) throw syscallError(request.name);
}

/** An ioctl that may wait for the disk, on a thread of the pool; resolves when `argument` is filled. Throws SyscallError, naming `path`. */
export function ioctlAsync(
  fd: number,
  request: IoctlRequest,
  argument: Uint8Array,
  path?: string | Uint8Array,
): Promise<void> {
  return settle(request.name, (done) => libc.ioctl.async(fd, request.number, argument, done), path);
}

/** Runs a C function that answers -1 and errno on failure off the main thread. `path`: what the message names. */
export function settle(
  syscall: string,
  start: (done: (error: Error | null, result: number) => void) => void,
  path?: string | Uint8Array,
): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      // koffi hands on the errno of the other thread for the length of this callback only.
      const errno = lastErrno();
      if (error !== null) reject(error);
      else if (result < 0) reject(syscallError(syscall, path, errno));
      else resolve();
    });
  });
}
