import { readFileSync } from 'node:fs';
import { ContainerStartError } from '../errors.js';

/**
 * Detects machines on which no runtime can start containers, because runtimes fail there without a clear reason. Throws
 * ContainerStartError.
 */
export function checkMachine(): void {
  const mountinfo = readMountinfo();
  if (mountinfo === undefined) {
    throw new ContainerStartError('cannot start containers: /proc is not mounted', {
      hint: 'mount it: mount -t proc proc /proc',
    });
  }
  // The file lists only reachable mounts; in a plain chroot, the mount of the root directory is not reachable.
  if (mountinfo.split('\n').some((line) => line.split(' ')[4] === '/')) return;
  throw new ContainerStartError('cannot start containers: the root directory is a chroot and not a mount point', {
    hint: 'bind-mount the directory onto itself before chroot: mount --bind DIR DIR',
  });
}

function readMountinfo(): string | undefined {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return undefined;
  }
}
