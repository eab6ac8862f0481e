import { ImgtoolError, NotFoundError } from '../errors.js';
import { formatPlatform, parsePlatform, parseReference } from '../spec/index.js';
import { ifFound } from '../util/index.js';
import type { ForPlatform, Reserving } from './common.js';
import type { Drivers } from './drivers.js';
import { planPull, pullReference } from './images.js';
import type { LocalDeps } from './local-drivers.js';

/** When the image that a container is made of is fetched before. */
export interface Fetching extends ForPlatform, Reserving {
  /** Default: `missing`. */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never' | undefined;
}

export const FETCHING = { platform: 'text', reserve: 'size', pull: ['missing', 'always', 'newer', 'never'] } as const;

/** Fetches the image `target`, unless that is a container or as wanted here already. Throws NotFoundError when that cannot be. */
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
    // No store is made for an image that does not exist.
    if (local === undefined) await planPull(drivers, target, { platform, signal });
    await pullReference(drivers, reference, { policy, platform, reserve, signal });
  } catch (error) {
    // A bare word is as likely a container's name with a mistake in it.
    if (hasRegistry(target) || signal?.aborted === true || !(error instanceof ImgtoolError)) throw error;
    throw new NotFoundError(`there is no container or image ${target} here, nor can it be pulled: ${error.message}`, {
      kind: 'image',
      subject: target,
      hint: 'see "imgtool containers" and "imgtool images"',
      cause: error,
    });
  }
}

/** Whether an image for `own` is what `wanted` asks for. */
function isForPlatform(own: string, wanted: string | undefined): boolean {
  return wanted === undefined || formatPlatform(parsePlatform(own)) === formatPlatform(parsePlatform(wanted));
}

function hasRegistry(name: string): boolean {
  return /^([^/]*[.:][^/]*|localhost)\//.test(name);
}
