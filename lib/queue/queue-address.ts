import { UsageError } from '../errors.js';
import type { QueueAddress } from './types.js';

const HINT = 'write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS';

/**
 * Parses `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS. Throws UsageError, which never
 * quotes the input.
 */
export function parseQueueAddress(input: string): QueueAddress {
  let url: URL;
  try {
    url = new URL(input);
  } catch {
    throw new UsageError('the address of the queue is not a URL', { hint: HINT });
  }
  const database = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1];
  const known = url.protocol === 'redis:' || url.protocol === 'rediss:';
  if (!known || url.hostname === '' || database === undefined || url.search !== '' || url.hash !== '')
    throw new UsageError('the address of the queue is not a Redis URL', { hint: HINT });
  const port = url.port === '' ? 6379 : Number(url.port);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    username: decoded(url.username),
    password: decoded(url.password),
    database: Number(database),
    tls: url.protocol === 'rediss:',
    text: `${url.protocol}//${url.hostname}:${port}${database === '' ? '' : `/${database}`}`,
  };
}

function decoded(text: string): string | undefined {
  if (text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError('the user or password of the queue is not correctly encoded', {
      hint: 'write % as %25, @ as %40, / as %2F, : as %3A',
    });
  }
}
