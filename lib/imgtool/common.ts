import { UsageError } from '../errors.js';
import { hostPlatform, parsePlatform, type Platform } from '../spec/index.js';

/** What every method takes. */
export interface Stoppable {
  /** Stops the work as Ctrl-C stops the command; the method rejects with an AbortError. */
  readonly signal?: AbortSignal | undefined;
}

/** What methods take that choose an image from an index. */
export interface ForPlatform {
  /** `OS/ARCH[/VARIANT]`. Default: that of this machine. */
  readonly platform?: string | undefined;
}

/** What methods take that bring images into the store. */
export interface Reserving {
  /** Bytes to leave free on the file system of the store, or text such as `2GiB`. Default: 1 GiB. */
  readonly reserve?: number | string | undefined;
}

/** What methods take that make images of what is here. */
export interface BuildReserving {
  /** As `Reserving`. Default: 1 GiB, or half of the free space below 2 GiB. */
  readonly reserve?: number | string | undefined;
}

/** Kinds of the options above. */
export const STOPPABLE = { signal: 'signal' } as const;
export const FOR_PLATFORM = { platform: 'text' } as const;
export const RESERVING = { reserve: 'size' } as const;

/** The signal given, or one that is never aborted. */
export function signalOf({ signal }: Stoppable): AbortSignal {
  return signal ?? new AbortController().signal;
}

/** The platform asked for, and whether it was asked for. Throws UsageError. */
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

/** Where bytes wait that cannot be passed on at once: TMPDIR, else /var/tmp, because /tmp may lie in memory. */
export function spoolDirectory(env: NodeJS.ProcessEnv): string {
  return env.TMPDIR ?? '/var/tmp';
}
