import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { AT_FDCWD, O_PATH, openAt, setWindowSize, statAt } from '../sys/index.js';

const { S_IFMT, S_IFCHR, O_RDWR, O_NOCTTY, O_NONBLOCK, O_NOFOLLOW } = constants;
/** Major numbers of pseudo-terminals (Documentation/admin-guide/devices.txt). */
const PSEUDO_TERMINALS = { first: 136, last: 143 };

/** Size of the terminal on standard output; undefined when it is not a terminal. */
export function terminalSize(): { readonly rows: number; readonly columns: number } | undefined {
  if (!process.stdout.isTTY) return undefined;
  const [columns, rows] = process.stdout.getWindowSize();
  return { rows, columns };
}

/**
 * Sets the size of a container's terminal to that of this one. `pidFile` contains the PID of the container's first
 * process. crun forwards the signal but not the size. Returns false when it is not possible, such as before the command
 * has started.
 */
export function resizeTerminal(pidFile: string): boolean {
  const size = terminalSize();
  if (size === undefined) return false;
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    if (!(pid > 1)) return false;
    const device = openAt(AT_FDCWD, `/proc/${pid}/root/dev/console`, O_PATH | O_NOFOLLOW);
    try {
      // The container may have replaced the device, and opening some devices has side effects.
      const { mode, rdevMajor } = statAt(device, '');
      const isOne = rdevMajor >= PSEUDO_TERMINALS.first && rdevMajor <= PSEUDO_TERMINALS.last;
      if ((mode & S_IFMT) !== S_IFCHR || !isOne) return false;
      const terminal = openSync(`/proc/self/fd/${device}`, O_RDWR | O_NOCTTY | O_NONBLOCK);
      try {
        setWindowSize(terminal, size);
      } finally {
        closeSync(terminal);
      }
    } finally {
      closeSync(device);
    }
    return true;
  } catch {
    return false;
  }
}
