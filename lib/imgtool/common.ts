import { UsageError } from '../errors.js';
import { hostPlatform, parsePlatform, type Platform } from '../spec/index.js';

/** Options common to all methods. */
export interface Stoppable {
  /** Stops the work; the method rejects with an AbortError. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of methods that choose an image from an index. */
export interface ForPlatform {
  /** `OS/ARCH[/VARIANT]`. Default: this machine's platform. */
  readonly platform?: string | undefined;
}

/** Options of methods that download images into the store. */
export interface Reserving {
  /** Free space to keep on the store's file system: bytes, or text such as `2GiB`. Default: 1 GiB. */
  readonly reserve?: number | string | undefined;
}

/** Options of methods that build images locally. */
export interface BuildReserving {
  /** Free space to keep, as in `Reserving`. Default: 1 GiB, or half of the free space if that is below 2 GiB. */
  readonly reserve?: number | string | undefined;
}

/** Kinds of the options above. */
export const STOPPABLE = { signal: 'signal' } as const;
export const FOR_PLATFORM = { platform: 'text' } as const;
export const RESERVING = { reserve: 'size' } as const;

/** The given signal, or one that never aborts. */
export function signalOf({ signal }: Stoppable): AbortSignal {
  return signal ?? new AbortController().signal;
}

/** The requested platform, and whether it was given explicitly. Throws UsageError. */
export function platformOf({ platform }: ForPlatform): {
  readonly platform: Platform;
  readonly platformGiven: boolean;
} {
  return {
    platform: platform === undefined ? hostPlatform() : parsePlatform(platform),
    platformGiven: platform !== undefined,
  };
}

/** SOURCE_DATE_EPOCH of the environment (reproducible-builds.org): seconds since 1970. Throws UsageError. */
export function sourceDateEpoch(env: NodeJS.ProcessEnv): number | undefined {
  const text = env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new UsageError(`SOURCE_DATE_EPOCH is ${JSON.stringify(text.slice(0, 100))}, not seconds since 1970`);
}

/** Directory for data that must be buffered: TMPDIR, else /var/tmp, because /tmp may be in memory. */
export function spoolDirectory(env: NodeJS.ProcessEnv): string {
  return env.TMPDIR ?? '/var/tmp';
}
