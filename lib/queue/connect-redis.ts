import type { RedisOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { AuthenticationError, ImgtoolError, TransportError } from '../errors.js';
import { onAbort } from '../util/index.js';
import type { QueueAddress } from './types.js';

const CONNECT_MS = 10_000;
/** Required by BullMQ's scripts. */
const OLDEST_MAJOR = 6;

/** A connection that reconnects automatically. The caller disconnects it. */
export interface RedisLink {
  readonly redis: Redis;
  /** For BullMQ's own connections. */
  readonly options: RedisOptions;
}

/**
 * Connects with a single attempt, then reconnects whenever Redis becomes available again. `note` reports lost and
 * restored connections. Throws TransportError, AuthenticationError, AbortError.
 */
export async function connectRedis(
  address: QueueAddress,
  { note, signal }: { readonly note: (line: string) => void; readonly signal: AbortSignal },
): Promise<RedisLink> {
  signal.throwIfAborted();
  // In the bundle, a CommonJS package has only a default export.
  const { Redis: Client } = (await import('ioredis')).default;
  const options: RedisLink['options'] = {
    ...{ host: address.host, port: address.port, db: address.database },
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls ? { tls: {} } : {}),
    ...{ connectTimeout: CONNECT_MS, maxRetriesPerRequest: null, skipVersionCheck: true },
    retryStrategy: comeBack,
  };
  const redis = new Client({ ...options, lazyConnect: true, retryStrategy: () => null });
  let last: Error | undefined;
  redis.on('error', (error: Error) => (last = error));
  const forgetAbort = onAbort(signal, () => redis.disconnect());
  try {
    await redis.connect();
    await checkServer(redis, address, note);
  } catch (error) {
    redis.disconnect();
    signal.throwIfAborted();
    throw error instanceof ImgtoolError ? error : connectError(address, last ?? (error as Error));
  } finally {
    forgetAbort();
  }
  redis.options.retryStrategy = comeBack;
  tellLosses(redis, address, note);
  return { redis, options };
}

/** Delay before the next attempt to reconnect, in ms. */
function comeBack(times: number): number {
  return Math.min(2000, 100 * 2 ** Math.min(times, 10));
}

async function checkServer(redis: Redis, address: QueueAddress, note: (line: string) => void): Promise<void> {
  const info = await redis.info();
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
    throw new TransportError(`${address.text} is Redis ${version}`, {
      ...{ host: address.host, phase: 'connect' },
      hint: `the queue needs Redis ${OLDEST_MAJOR} or newer`,
    });
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
  if (policy !== 'noeviction')
    note(`${address.text} may drop jobs when it is full: set its maxmemory-policy to noeviction`);
}

function connectError(address: QueueAddress, error: Error): ImgtoolError {
  const { message } = error;
  const { host } = address;
  if (/^(WRONGPASS|NOAUTH|NOPERM)\b|AUTH\b|invalid (username|password)/i.test(message)) {
    const refusal = address.password === undefined ? 'requires a password' : 'does not accept this user and password';
    return new AuthenticationError(`${address.text} ${refusal}`, {
      ...{ host, scheme: 'redis', cause: error },
      hint: 'put them into the URL, redis://USER:PASSWORD@HOST, preferably in the variable IMGTOOL_QUEUE',
    });
  }
  return new TransportError(
    `cannot reach ${address.text}: ${message || (error as NodeJS.ErrnoException).code || 'no answer'}`,
    {
      ...{ host, phase: address.tls && !/^connect /.test(message) ? 'tls' : 'connect', cause: error },
      hint: address.tls
        ? 'check that it is Redis with TLS; for a private CA, set the variable NODE_EXTRA_CA_CERTS'
        : 'check that Redis is running there and accepts connections from other machines',
    },
  );
}

function tellLosses(redis: Redis, { text }: QueueAddress, note: (line: string) => void): void {
  let gone = false;
  redis.on('reconnecting', () => {
    if (!gone) note(`lost the connection to ${text}: retrying until it is back`);
    gone = true;
  });
  redis.on('ready', () => {
    if (gone) note(`reconnected to ${text}`);
    gone = false;
  });
}

/** Reports whether a command failed because Redis is unavailable or not ready yet. */
export function isRedisAway(error: unknown): boolean {
  const { code, name, message } = error as NodeJS.ErrnoException;
  // ioredis reports commands of a broken connection as aborted; callers check their own signal first.
  if (name === 'AbortError' || name === 'InterruptError') return true;
  return (
    /^E[A-Z]+$/.test(code ?? '') ||
    /Connection is closed|Command timed out|Stream isn't writeable|^(LOADING|MASTERDOWN|READONLY|BUSY|NOAUTH|UNBLOCKED)\b/.test(
      message,
    )
  );
}
