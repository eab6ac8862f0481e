import { createHash } from 'node:crypto';
import { closeSync } from 'node:fs';
import { DigestMismatchError, SizeMismatchError } from '../../errors.js';
import { digestHex, type DiffId, type ReopenableBlob } from '../../spec/index.js';
import type { LayerIndexer } from '../../layer/index.js';
import type { ProgressSink } from '../../progress/index.js';
import { closeAll, GrowingFile, orCloseAll } from '../../util/index.js';
import { Spool, type SpooledFile } from '../build-context/index.js';
import { IndexFiles } from './index-files.js';
import type { RemoteBuildDeps } from './types.js';

/** An image layer to index. */
export interface RemoteLayer {
  readonly blob: ReopenableBlob;
  readonly diffId: DiffId;
  /** Receives the reason why the layer is unusable. */
  readonly onFault?: (error: unknown) => void;
}

type LayerIndexesDeps = Pick<
  RemoteBuildDeps,
  'createIndexer' | 'isLayerIndex' | 'progress' | 'cacheDirectory' | 'temporaryDirectory'
>;

/**
 * Indexes of layers: member headers and content hashes. A layer is read once, streamed through a temporary file; its
 * index stays in the user's cache, so the next build does not read the layer at all.
 */
export class LayerIndexes {
  readonly #deps: Pick<RemoteBuildDeps, 'createIndexer' | 'isLayerIndex' | 'progress'>;
  readonly #kept: IndexFiles;
  readonly #spool: Spool;
  readonly #indexes = new Map<string, Promise<number>>();
  readonly #contents = new Map<string, Promise<number>>();
  readonly #opened: number[] = [];
  #indexer: Promise<LayerIndexer> | undefined;

  constructor(deps: LayerIndexesDeps) {
    this.#deps = deps;
    this.#kept = new IndexFiles(deps.cacheDirectory);
    this.#spool = new Spool(deps.temporaryDirectory);
  }

  /** Descriptor of the layer's index, open until `close`. Throws the errors of fetching, LayerFormatError, DigestMismatchError. */
  index(layer: RemoteLayer, signal: AbortSignal): Promise<number> {
    return once(this.#indexes, keyOf(layer), async () => {
      const kept = this.#kept.open(keyOf(layer));
      if (kept !== undefined) {
        this.#opened.push(kept);
        // Another version of this program may have written it; it is replaced then.
        if (await this.#deps.isLayerIndex(kept)) return kept;
      }
      const index = this.#spool.make();
      await orCloseAll(() => this.#read(layer, { index, data: undefined }, signal), [() => this.#spool.drop(index)]);
      this.#kept.keep(keyOf(layer), index);
      return index;
    });
  }

  /** Descriptor of the layer's file contents, open until `close`; fetches the layer. */
  contents(layer: RemoteLayer, signal: AbortSignal): Promise<number> {
    return once(this.#contents, keyOf(layer), async () => {
      const [data, index] = [this.#spool.make(), this.#spool.make()];
      await orCloseAll(
        () => this.#read(layer, { index, data }, signal),
        [() => this.#spool.drop(data), () => this.#spool.drop(index)],
      );
      this.#spool.drop(index);
      return data;
    });
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#indexes.values(), ...this.#contents.values()]);
    await closeAll([
      async () => (await this.#indexer)?.close(),
      ...this.#opened.splice(0).map((fd) => () => closeSync(fd)),
      () => this.#spool.close(),
    ]);
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
        size: file.size,
        index,
        ...(data === undefined ? {} : { data }),
        signal,
      });
      if (read.diffId !== diffId) throw diffIdError(blob.descriptor.digest, { expected: diffId, actual: read.diffId });
    } catch (error) {
      layer.onFault?.(error);
      throw error;
    } finally {
      this.#spool.drop(file.fd);
    }
  }
}

/** Limit of consecutive broken connections without data. */
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
    // Another source may have the same layer.
    made.catch(() => known.delete(key));
  }
  return made;
}

/** Fetches a layer into a temporary file and verifies it; resumes after a broken connection. Throws the errors of the blob. */
export async function fetchLayer(
  blob: ReopenableBlob,
  { spool, progress, signal }: { readonly spool: Spool; readonly progress: ProgressSink; readonly signal: AbortSignal },
): Promise<SpooledFile> {
  const { digest, size } = blob.descriptor;
  const event = { v: 1, kind: 'layer', action: 'fetch', digest, total: size } as const;
  // A local blob is not a download.
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

/** The error for a layer whose diffID differs from the config's. */
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
