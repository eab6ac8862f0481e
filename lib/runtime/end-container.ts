import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { delay } from '../util/index.js';

/** The most checks for the end of killed processes, 20 ms apart. */
const LOOKS = 250;
const LOOK_MS = 20;

/**
 * Kills the processes that a dead runtime has left of container `id`, at any stage, and waits for their end. Finds them
 * by their control group or, without one, by their root.
 */
export async function killLeftProcesses(id: string): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const pids = processesOf(id);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid);
    await delay(LOOK_MS);
  }
}

/** Name of the control group of container `id`. */
export function cgroupName(id: string): string {
  return `imgtool-${id}`;
}

function processesOf(id: string): number[] {
  const own = readlinkSync('/proc/self/ns/pid');
  const group = new RegExp(`/${cgroupName(id)}(/|$)`, 'm');
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const directory = `/proc/${name}`;
    try {
      // Fails for a zombie, whose other files are still readable.
      readlinkSync(`${directory}/ns/mnt`);
      // A shell that a user opened in the container's directory is in the host's namespace.
      if (readlinkSync(`${directory}/ns/pid`) === own) return [];
      const isOfContainer =
        group.test(readFileSync(`${directory}/cgroup`, 'utf8')) ||
        readFileSync(`${directory}/mountinfo`, 'utf8').includes(`/${id}/rootfs / `);
      return isOfContainer ? [Number(name)] : [];
    } catch {
      // The process has ended.
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has ended.
  }
}
