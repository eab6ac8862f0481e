import { accessSync, constants } from 'node:fs';
import { CommandError } from '../errors.js';

/** Static programs that forward signals and reap processes; dynamic ones would need a C library in the container. */
const PROGRAMS = [
  '/usr/libexec/podman/catatonit',
  '/usr/libexec/catatonit/catatonit',
  '/usr/lib/podman/catatonit',
  '/usr/bin/catatonit',
  '/usr/bin/docker-init',
  '/usr/libexec/docker/docker-init',
  '/usr/bin/tini-static',
  '/sbin/tini-static',
];

/** Path of the program in the container. */
export const INIT_PATH = '/dev/init';

/** The program for `--init`. Throws CommandError when none is installed. */
export function findInit(): string {
  const found = PROGRAMS.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found !== undefined) return found;
  throw new CommandError('no init program for --init is installed', {
    argv: ['catatonit'],
    hint: 'install one, for example: apt-get install catatonit',
  });
}
