import { AlreadyExistsError } from '../errors.js';
import type { Garbage, StoreCheck, StoreUsage } from '../operations/index.js';
import type { SpaceReport, StoreRoot } from '../snapshot/index.js';
import { bytesOf, checkOptions, type OptionKinds } from './check-options.js';
import { signalOf, STOPPABLE, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { DEFAULTS } from './defaults.js';
import { parseAge } from '../util/index.js';
import { SEVERAL_LOGINS } from './named-login.js';

export interface StoreInitOptions {
  /** Virtual size of the embedded pool: bytes, or text such as `200GiB`. */
  readonly size?: number | string | undefined;
  /** Block device to format for the pool; its content is lost. */
  readonly device?: string | undefined;
}

export interface StoreFsckOptions extends Stoppable {
  /** Checks only records and the presence of files. */
  readonly quick?: boolean | undefined;
  /** Removes damaged content and restores it from its blob or from a registry. */
  readonly repair?: boolean | undefined;
}

export interface StoreGcOptions extends Stoppable {
  /** Also removes images until at most this is used: bytes, or text such as `20GiB`. */
  readonly keepStorage?: number | string | undefined;
  /** Drops compressed layers that a registry also has. */
  readonly dropBlobs?: boolean | undefined;
  /** Drops build steps and cache mounts, least recently used first, until at most this is used. */
  readonly keepCache?: number | string | undefined;
  /** Drops those unused for longer: `24h`, `14d`. Default: 14 days. */
  readonly cacheTtl?: string | undefined;
  /** Changes nothing. */
  readonly dryRun?: boolean | undefined;
}

const INIT: OptionKinds<StoreInitOptions> = { size: 'size', device: 'text' };
const FSCK: OptionKinds<StoreFsckOptions> = { ...STOPPABLE, quick: 'flag', repair: 'flag' };
const GC: OptionKinds<StoreGcOptions> = {
  ...{ ...STOPPABLE, keepStorage: 'size', dropBlobs: 'flag', dryRun: 'flag' },
  ...{ keepCache: 'size', cacheTtl: 'text' },
};

export async function initStore(drivers: Drivers, given: StoreInitOptions): Promise<StoreRoot> {
  const options = checkOptions('storeInit', given, INIT);
  const { device } = options;
  const size = bytesOf(options.size, undefined);
  if ((size !== undefined || device !== undefined) && (await drivers.records()) !== undefined) {
    throw new AlreadyExistsError(`there is a store at ${drivers.root} already`, {
      kind: 'store',
      subject: drivers.root,
      hint: 'choose another place with --root',
    });
  }
  return drivers.makeStore({ size, device });
}

export async function storeInfo(drivers: Drivers): Promise<StoreRoot & { readonly space: SpaceReport }> {
  const store = await drivers.store();
  const { snapshots } = await drivers.local();
  return { ...store, space: await snapshots.space() };
}

export async function storeUsage(drivers: Drivers): Promise<StoreUsage> {
  const operations = await import('../operations/maintain/index.js');
  return operations.storeUsage(await drivers.local());
}

export async function checkStore(drivers: Drivers, given: StoreFsckOptions): Promise<StoreCheck> {
  const options = checkOptions('storeFsck', given, FSCK);
  drivers.namedLogin([], SEVERAL_LOGINS);
  const [operations, local] = await Promise.all([import('../operations/maintain/index.js'), drivers.local()]);
  const { quick = false, repair = false } = options;
  return operations.checkStore({ ...local, ...drivers.lazyRemote() }, { quick, repair, signal: signalOf(options) });
}

export async function collectGarbage(drivers: Drivers, given: StoreGcOptions): Promise<Garbage> {
  const options = checkOptions('storeGc', given, GC);
  const [operations, deps] = await Promise.all([import('../operations/maintain/index.js'), drivers.local()]);
  return operations.collectGarbage(deps, {
    keepBytes: bytesOf(options.keepStorage, undefined),
    dropBlobs: options.dropBlobs ?? false,
    keepCacheBytes: bytesOf(options.keepCache, undefined),
    cacheTtlMs: parseAge(options.cacheTtl ?? DEFAULTS.cacheTtl),
    dryRun: options.dryRun ?? false,
    signal: signalOf(options),
  });
}
