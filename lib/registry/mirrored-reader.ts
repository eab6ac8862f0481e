import { ImgtoolError, TransportError } from '../errors.js';
import type { BlobSource, RepositoryReader, TagOrDigest } from './types.js';

type OpenRequest = Parameters<BlobSource['open']>[0];

/** A repository that may be read from, and for which kind of reference. */
export interface MirrorChoice {
  readonly reader: RepositoryReader;
  readonly only?: 'digest' | 'tag' | undefined;
}

/** How long a host that could not be reached is not asked again. Milliseconds. */
const DOWN_MS = 60_000;

/** Hosts that could not be reached a short while ago. */
export class DownHosts {
  readonly #until = new Map<string, number>();

  add(host: string): void {
    this.#until.set(host, performance.now() + DOWN_MS);
  }

  has(host: string): boolean {
    return performance.now() < (this.#until.get(host) ?? 0);
  }
}

/** Options of `mirroredReader`. */
export interface MirroredReaderOptions {
  /** Hosts that could not be reached. Shared by the readers of a client. */
  readonly down: DownHosts;
  /** Told why the next one is asked. */
  readonly onFailure: (mirror: string, line: string) => void;
}

/**
 * A repository read from the first of its mirrors that can give what is asked, and last from itself; it goes by the name
 * of the latter. A mirror that fails in any way is passed over; the error of the last one is thrown. Tags and referrers are
 * listed at the source alone, as mirrors know only what was asked of them. A mirror whose bytes of a blob broke off, or were
 * not what the reader wanted (it opens the blob from its start once more), is not asked for that blob again.
 */
export function mirroredReader(
  mirrors: readonly MirrorChoice[],
  itself: RepositoryReader,
  { down, onFailure }: MirroredReaderOptions,
): RepositoryReader {
  async function first<T>(
    kind: 'digest' | 'tag',
    signal: AbortSignal,
    ask: (reader: RepositoryReader) => Promise<T>,
    passed: ReadonlySet<RepositoryReader> = new Set(),
  ): Promise<T> {
    for (const { reader, only } of mirrors) {
      if (passed.has(reader)) continue;
      if (down.has(reader.host) || (only !== undefined && only !== kind)) continue;
      try {
        return await ask(reader);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ImgtoolError)) throw error;
        if (error instanceof TransportError) down.add(reader.host);
        onFailure(reader.host, `mirror ${reader.host}: ${error.message}; asking the next`);
      }
    }
    return ask(itself);
  }
  const kindOf = ({ digest }: TagOrDigest): 'digest' | 'tag' => (digest === undefined ? 'tag' : 'digest');
  return {
    host: itself.host,
    repository: itself.repository,
    resolve: (reference, options) =>
      first(kindOf(reference), options.signal, (reader) => reader.resolve(reference, options)),
    manifest: (reference, options) =>
      first(kindOf(reference), options.signal, (reader) => reader.manifest(reference, options)),
    blob: (descriptor, options) => {
      const passed = new Set<RepositoryReader>();
      const served = new Set<RepositoryReader>();
      const pass = (reader: RepositoryReader, why: string): void => {
        if (reader === itself || passed.has(reader)) return;
        passed.add(reader);
        onFailure(reader.host, `mirror ${reader.host}: ${why}; asking the next`);
      };
      const open = async (reader: RepositoryReader, request: OpenRequest): ReturnType<BlobSource['open']> => {
        const opened = await reader.blob(descriptor, options).open(request);
        served.add(reader);
        opened.body.once('error', (error) => {
          if (error instanceof TransportError) pass(reader, error.message);
        });
        return opened;
      };
      return {
        descriptor,
        connections: itself.blob(descriptor).connections ?? 1,
        open: (request) => {
          if ((request.offset ?? 0) === 0) {
            for (const reader of served) pass(reader, `its blob ${descriptor.digest} must be read again`);
            served.clear();
          }
          return first('digest', request.signal, (reader) => open(reader, request), passed);
        },
      };
    },
    ...(itself.blobSize === undefined ? {} : { blobSize: (digest, options) => itself.blobSize!(digest, options) }),
    tags: (options) => itself.tags(options),
    referrers: (digest, options) => itself.referrers(digest, options),
  };
}
