import { readdirSync, readFileSync } from 'node:fs';

/** Watches a process and its descendants; `stop` tells the sum of the peak resident sizes of all of them, bytes. */
export function watchMemory(pid: number): { stop(): number } {
  const peaks = new Map<number, number>();
  const sample = (): void => {
    for (const member of [pid, ...descendants(pid)]) {
      const peak = highWaterMark(member);
      if (peak > (peaks.get(member) ?? 0)) peaks.set(member, peak);
    }
  };
  sample();
  const timer = setInterval(sample, 25);
  return {
    stop: () => {
      clearInterval(timer);
      return [...peaks.values()].reduce((sum, peak) => sum + peak, 0);
    },
  };
}

/** VmHWM, bytes; 0 of a process that is gone. The kernel keeps the maximum, so sampling misses only a process's last moments. */
function highWaterMark(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The program's name, in brackets, may hold blanks and brackets.
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      continue;
    }
  }
  const family = new Set([pid]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const [child, parent] of parents) if (family.has(parent)) family.add(child);
  }
  family.delete(pid);
  return [...family];
}
