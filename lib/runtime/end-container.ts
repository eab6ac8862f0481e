import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { delay } from '../util/index.js';

/** How long processes that were killed may take to end: 250 looks, 20 ms apart. */
const LOOKS = 250;
const LOOK_MS = 20;

/**
 * Kills the processes of container `id` that a runtime has left, whatever it was doing when it died, and waits until they
 * have ended. They are known by their control group or, without one, by their root.
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
      // Fails for a zombie, of which the rest can still be read.
      readlinkSync(`${directory}/ns/mnt`);
      // A shell that a user opened in the container's directory is in the namespace of the host.
      if (readlinkSync(`${directory}/ns/pid`) === own) return [];
      const isOfContainer =
        group.test(readFileSync(`${directory}/cgroup`, 'utf8')) ||
        readFileSync(`${directory}/mountinfo`, 'utf8').includes(`/${id}/rootfs / `);
      return isOfContainer ? [Number(name)] : [];
    } catch {
      // It has ended.
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
