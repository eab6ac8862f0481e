import { ioctl, type IoctlRequest } from './ioctl.js';

/** The same number on all architectures that imgtool supports (asm-generic/ioctls.h). */
const SET_WINDOW_SIZE: IoctlRequest = { name: 'TIOCSWINSZ', number: 0x5414 };

/** Sets the size of the terminal `fd` in characters. If it changes, its foreground processes receive SIGWINCH. Throws SyscallError. */
export function setWindowSize(
  fd: number,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): void {
  const size = new Uint16Array([rows, columns, 0, 0]);
  ioctl(fd, SET_WINDOW_SIZE, new Uint8Array(size.buffer));
}
