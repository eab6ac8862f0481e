import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  futimesSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { DigestMismatchError, SizeMismatchError } from '../../errors.js';
import { digestHex, type DiffId, type ReopenableBlob } from '../../spec/index.js';
import type { LayerIndexer } from '../../layer/index.js';
import type { ProgressSink } from '../../progress/index.js';
import { GrowingFile, makeDirectory } from '../../util/index.js';
import { Spool, type SpooledFile } from '../build-context/index.js';
import type { RemoteBuildDeps } from './types.js';

/** A layer of an image, to be indexed. */
export interface RemoteLayer {
  readonly blob: ReopenableBlob;
  readonly diffId: DiffId;
}

/**
 * Indexes of layers: headers of members and hashes of their contents. A layer is read once, streamed through a temporary file; its
 * index is kept in the user's cache, so the next build asks for no byte of it.
 */
export class LayerIndexes {
  readonly #deps: Pick<RemoteBuildDeps, 'createIndexer' | 'progress'>;
  readonly #directory: string | undefined;
  readonly #spool: Spool;
  readonly #indexes = new Map<string, Promise<number>>();
  readonly #contents = new Map<string, Promise<number>>();
  readonly #opened: number[] = [];
  #indexer: Promise<LayerIndexer> | undefined;

  constructor(deps: Pick<RemoteBuildDeps, 'createIndexer' | 'progress' | 'cacheDirectory' | 'temporaryDirectory'>) {
    this.#deps = deps;
    this.#directory = deps.cacheDirectory && join(deps.cacheDirectory, 'layers');
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  /** Descriptor of the layer's index, open until `close`. Throws what fetching throws, LayerFormatError, DigestMismatchError. */
  index(layer: RemoteLayer, signal: AbortSignal): Promise<number> {
    return once(this.#indexes, keyOf(layer), () => this.#kept(layer) ?? this.#make(layer, signal));
  }

  /** Descriptor of the contents of the layer's files, open until `close`; the layer is fetched. */
  contents(layer: RemoteLayer, signal: AbortSignal): Promise<number> {
    return once(this.#contents, keyOf(layer), async () => {
      const data = this.#spool.make();
      const index = this.#spool.make();
      await this.#read(layer, { index, data }, signal);
      this.#spool.drop(index);
      return data;
    });
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#indexes.values(), ...this.#contents.values()]);
    await (await this.#indexer)?.close();
    for (const fd of this.#opened.splice(0)) closeSync(fd);
    this.#spool.close();
  }

  /** An index of an earlier build, if it is a file of this user that no other user may write. */
  #kept(layer: RemoteLayer): Promise<number> | undefined {
    if (this.#directory === undefined) return undefined;
    let fd: number;
    try {
      fd = openSync(
        join(this.#directory, keyOf(layer)),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
    } catch {
      return undefined;
    }
    const stats = fstatSync(fd);
    if (stats.isFile() && stats.uid === process.geteuid!() && (stats.mode & 0o022) === 0) {
      this.#opened.push(fd);
      const now = new Date();
      futimesSync(fd, now, now);
      return Promise.resolve(fd);
    }
    closeSync(fd);
    return undefined;
  }

  async #make(layer: RemoteLayer, signal: AbortSignal): Promise<number> {
    const kept = this.#newFile(layer);
    const index = kept?.fd ?? this.#spool.make();
    try {
      await this.#read(layer, { index, data: undefined }, signal);
      kept?.publish();
      return index;
    } catch (error) {
      kept?.discard();
      throw error;
    }
  }

  /** A file of the cache under a temporary name; undefined when it cannot be written. */
  #newFile(layer: RemoteLayer): { readonly fd: number; publish(): void; discard(): void } | undefined {
    const directory = this.#directory;
    if (directory === undefined) return undefined;
    const path = join(directory, keyOf(layer));
    const temporary = join(directory, `.new-${process.pid}-${randomBytes(6).toString('hex')}`);
    try {
      makeDirectory(directory);
      const fd = openSync(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
      this.#opened.push(fd);
      return {
        fd,
        publish: () => {
          fsyncSync(fd);
          renameSync(temporary, path);
          removeOld(directory);
        },
        discard: () => rmSync(temporary, { force: true }),
      };
    } catch {
      return undefined;
    }
  }

  async #read(
    layer: RemoteLayer,
    { index, data }: { readonly index: number; readonly data: number | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { blob, diffId } = layer;
    const file = await fetchLayer(blob, { spool: this.#spool, progress: this.#deps.progress, signal });
    try {
      this.#indexer ??= this.#deps.createIndexer();
      const indexer = await this.#indexer;
      const growing = GrowingFile.complete(file.size);
      const read = await indexer.index({
        fd: file.fd,
        growing,
        index,
        ...(data === undefined ? {} : { data }),
        signal,
      });
      if (read.diffId !== diffId) throw diffIdError(blob.descriptor.digest, { expected: diffId, actual: read.diffId });
    } finally {
      this.#spool.drop(file.fd);
    }
  }
}

/** Indexes that no build has used for so long are removed, milliseconds. */
const KEPT_MS = 30 * 24 * 3600 * 1000;
/** Files that a process began are its own for so long. */
const BEGUN_MS = 24 * 3600 * 1000;

/** Removes indexes that are no longer used, and what processes that were killed have left. */
function removeOld(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
    if (age > (name.startsWith('.new-') ? BEGUN_MS : KEPT_MS)) rmSync(path, { force: true });
  }
}

/** How often a connection may break without a byte in between. */
const MAX_BREAKS = 3;

async function* resumed(
  blob: ReopenableBlob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { size } = blob.descriptor;
  let offset = 0;
  for (let breaks = 0; offset < size;) {
    const before = offset;
    const body = await blob.open({ signal, offset });
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        offset += chunk.length;
        onProgress(offset);
        yield chunk;
      }
      if (offset === before) return;
    } catch (error) {
      signal.throwIfAborted();
      breaks = offset > before ? 0 : breaks + 1;
      if (breaks >= MAX_BREAKS) throw error;
    } finally {
      body.destroy();
    }
  }
}

function keyOf({ blob, diffId }: RemoteLayer): string {
  const text = `${blob.descriptor.digest} ${diffId}`;
  return `${digestHex(blob.descriptor.digest)}-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let made = known.get(key);
  if (made === undefined) {
    made = make();
    known.set(key, made);
    made.catch(() => undefined);
  }
  return made;
}

/** The blob of a layer in a temporary file, verified; goes on where a connection broke. Throws what the blob throws. */
export async function fetchLayer(
  blob: ReopenableBlob,
  { spool, progress, signal }: { readonly spool: Spool; readonly progress: ProgressSink; readonly signal: AbortSignal },
): Promise<SpooledFile> {
  const { digest, size } = blob.descriptor;
  const event = { v: 1, kind: 'layer', action: 'fetch', digest, total: size } as const;
  // A blob of this machine is read, not fetched.
  const tell = (state: 'active' | 'done', transferred: number): void => {
    if (blob.download !== undefined) progress.event({ ...event, state, transferred });
  };
  const file = await spool.take(
    resumed(blob, (transferred) => tell('active', transferred), signal),
    signal,
  );
  const actual = `sha256:${file.hash}`;
  if (file.size === size && actual === digest) {
    tell('done', size);
    return file;
  }
  spool.drop(file.fd);
  if (file.size === size)
    throw new DigestMismatchError(`layer ${digest} has digest ${actual}`, { expected: digest, actual });
  throw new SizeMismatchError(`layer ${digest} has ${file.size} bytes, its manifest says ${size}`, {
    expected: size,
    actual: file.size,
  });
}

/** The error for a layer that is not the one that its image's config tells of. */
export function diffIdError(
  digest: string,
  { expected, actual }: { readonly expected: DiffId; readonly actual: DiffId },
): DigestMismatchError {
  return new DigestMismatchError(`layer ${digest} has diffID ${actual}, its record says ${expected}`, {
    expected,
    actual,
    hint: 'the image is broken at its source: its config does not match its layers',
  });
}
