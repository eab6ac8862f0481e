import { readFileSync } from 'node:fs';
import { ContainerStartError } from '../errors.js';

/**
 * Refuses to start containers where no runtime can, as it would fail without a reason. `mountinfo`: text of
 * /proc/self/mountinfo. Throws ContainerStartError.
 */
export function checkMachine(mountinfo = readMountinfo()): void {
  if (mountinfo === undefined) {
    throw new ContainerStartError('no container can be started here: /proc is not mounted', {
      hint: 'mount it: mount -t proc proc /proc',
    });
  }
  // Only mounts that can be reached are listed; in a plain chroot that of the root directory cannot.
  if (mountinfo.split('\n').some((line) => line.split(' ')[4] === '/')) return;
  throw new ContainerStartError(
    'no container can be started here: the root directory is a chroot and not a mount point',
    {
      hint: 'mount the directory on itself before chroot: mount --bind DIR DIR',
    },
  );
}

function readMountinfo(): string | undefined {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return undefined;
  }
}
