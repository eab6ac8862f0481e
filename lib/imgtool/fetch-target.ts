import { ImgtoolError, NotFoundError } from '../errors.js';
import { formatPlatform, parsePlatform, parseReference } from '../spec/index.js';
import { ifFound } from '../util/index.js';
import type { ForPlatform, Reserving } from './common.js';
import type { Drivers } from './drivers.js';
import { planPull, pullReference } from './images.js';
import type { LocalDeps } from './local-drivers.js';

/** When to fetch the image of a new container. */
export interface Fetching extends ForPlatform, Reserving {
  /** Default: `missing`. */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never' | undefined;
}

export const FETCHING = { platform: 'text', reserve: 'size', pull: ['missing', 'always', 'newer', 'never'] } as const;

/** Fetches the image `target`, unless it is a container or already in the store as requested. Throws NotFoundError if it cannot be found. */
export async function fetchTarget(
  drivers: Drivers,
  target: string,
  { pull: when = 'missing', platform, reserve, signal }: Fetching & { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { findContainer, findImage } = await import('../operations/store/index.js');
  if (when === 'never' && platform === undefined) return;
  const local = await drivers.localIfThere();
  const here = async <T>(find: (deps: LocalDeps) => Promise<T>): Promise<T | undefined> =>
    local === undefined ? undefined : ifFound(find(local));
  if ((await here((deps) => findContainer(deps, target))) !== undefined) return;
  const isEnough = when === 'missing' || when === 'never';
  const found = isEnough ? await here((deps) => findImage(deps, target)) : undefined;
  const isHere = found !== undefined && isForPlatform(found.record.platform, platform);
  if (isHere || (when === 'never' && found === undefined)) return;
  if (when === 'never') {
    throw new NotFoundError(`${target} is in the store for ${found!.record.platform}, not for ${platform}`, {
      kind: 'image',
      subject: target,
      hint: `pull it: imgtool pull --platform ${platform} ${target}`,
    });
  }
  const reference = parseReference(await drivers.fullName(target));
  const policy = when === 'newer' ? 'newer' : 'always';
  try {
    // Avoids creating a store for an image that does not exist.
    if (local === undefined) await planPull(drivers, target, { platform, signal });
    await pullReference(drivers, reference, { policy, platform, reserve, signal });
  } catch (error) {
    // A bare word may also be a mistyped container name.
    if (hasRegistry(target) || signal?.aborted === true || !(error instanceof ImgtoolError)) throw error;
    throw new NotFoundError(`no container or image ${target} in the store, and it cannot be pulled: ${error.message}`, {
      kind: 'image',
      subject: target,
      hint: 'see "imgtool containers" and "imgtool images"',
      cause: error,
    });
  }
}

/** Reports whether an image for platform `own` satisfies the request `wanted`. */
function isForPlatform(own: string, wanted: string | undefined): boolean {
  return wanted === undefined || formatPlatform(parsePlatform(own)) === formatPlatform(parsePlatform(wanted));
}

function hasRegistry(name: string): boolean {
  return /^([^/]*[.:][^/]*|localhost)\//.test(name);
}
