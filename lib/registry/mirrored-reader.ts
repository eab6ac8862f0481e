import { ImgtoolError, TransportError } from '../errors.js';
import type { BlobSource, RepositoryReader, TagOrDigest } from './types.js';

type OpenRequest = Parameters<BlobSource['open']>[0];

/** A mirror and the kind of reference that it may be asked for. */
interface MirrorChoice {
  readonly reader: RepositoryReader;
  readonly only?: 'digest' | 'tag' | undefined;
}

/** How long an unreachable host is skipped. Milliseconds. */
const DOWN_MS = 60_000;

/** The hosts that were unreachable recently. */
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
interface MirroredReaderOptions {
  /** Unreachable hosts, shared by the readers of a client. */
  readonly down: DownHosts;
  /** Called with the reason when the next source is tried. */
  readonly onFailure: (mirror: string, line: string) => void;
}

/**
 * Reads a repository from the first mirror that has the requested data, and from the repository itself last. Uses the
 * repository's own name. A mirror that fails in any way is skipped; the error of the last source is thrown. Tags and
 * referrers are listed only at the repository itself, because mirrors know only what was pulled through them. A mirror
 * is skipped for a blob after its transfer broke off or the reader opened the blob from the start again (its bytes were
 * wrong).
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
        onFailure(reader.host, `mirror ${reader.host}: ${error.message}; trying the next source`);
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
        onFailure(reader.host, `mirror ${reader.host}: ${why}; trying the next source`);
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
            for (const reader of served) pass(reader, `blob ${descriptor.digest} has to be read again`);
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
