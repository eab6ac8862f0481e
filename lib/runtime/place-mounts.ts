import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { SpecMount } from './container-spec.js';
import { cannotMountError } from './mount-points.js';

/**
 * Places the mounts at their resolved paths, outer ones first. `places`: the resolved paths in the container's own
 * files; other mounts lie inside another mount. No path contains a link, because the runtime resolves paths from
 * outside the container. Throws ContainerStartError.
 */
export function placeMounts(mounts: readonly SpecMount[], places: ReadonlyMap<string, string>): SpecMount[] {
  const moved: { readonly mount: SpecMount; readonly given: string }[] = [];
  for (const mount of mounts) {
    const given = mount.destination;
    const outer = moved.findLast((other) => contains(other.given, given));
    const destination =
      places.get(given) ?? (outer === undefined ? given : outer.mount.destination + given.slice(outer.given.length));
    if (destination === '/') throw cannotMountError(given, 'a link there leads to /');
    moved.push({ mount: { ...mount, destination }, given });
  }
  moved.sort((a, b) => pathDepth(a.mount.destination) - pathDepth(b.mount.destination));
  for (const [index, { mount, given }] of moved.entries()) {
    const around = moved.slice(0, index).findLast((other) => contains(other.mount.destination, mount.destination));
    if (around === undefined) continue;
    if (around.mount.type === 'bind') checkInside(around.mount, mount.destination, given);
    else if (given !== mount.destination)
      throw cannotMountError(given, `a link there leads into ${around.mount.destination}`);
  }
  return moved.map(({ mount }) => mount);
}

/** The number of components of a path. */
export function pathDepth(path: string): number {
  return path.split('/').length;
}

/** Checks that the parents of `destination` in a volume are directories or missing. */
function checkInside({ source, destination: top }: SpecMount, destination: string, given: string): void {
  const names = destination.slice(top.length + 1).split('/');
  for (let count = 1; count <= names.length; count += 1) {
    const stat = lstatSync(join(source, ...names.slice(0, count)), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isSymbolicLink())
      throw cannotMountError(
        given,
        `there is a symbolic link in the volume at ${top}: ${names.slice(0, count).join('/')}`,
      );
    if (!stat.isDirectory()) return;
  }
}

function contains(outer: string, path: string): boolean {
  return path === outer || path.startsWith(`${outer}/`);
}
