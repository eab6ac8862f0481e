import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { NotFoundError } from '../../errors.js';
import { digestFrom, type Digest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import type { LayerSpool, SpooledBlob } from './spool.js';

/** Stores converted layers in the local store, so that later processes can resume their upload. */
export class StoreSpool implements LayerSpool {
  readonly #content: OperationDeps['content'];
  readonly #made: Digest[];

  /** Appends the digest of each blob to `made`. The caller removes the blobs at the end. */
  constructor({ content }: Pick<OperationDeps, 'content'>, made: Digest[]) {
    this.#content = content;
    this.#made = made;
  }

  async take(body: Readable, options: { readonly signal: AbortSignal }): Promise<SpooledBlob> {
    const { digest, size } = await this.#content.ingestStream(body, options);
    this.#made.push(digest);
    const content = this.#content;
    return {
      ...{ digest, size, path: content.path(digest) },
      open: (how) => content.open(digest, how),
      drop: () => Promise.resolve(),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Stores nothing, because plans need only digests and sizes. */
export class HashSpool implements LayerSpool {
  async take(body: Readable): Promise<SpooledBlob> {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.length;
    }
    const digest = digestFrom(hash);
    const error = new NotFoundError(`blob ${digest} was only planned`, { kind: 'blob', subject: digest });
    return { digest, size, path: '', open: () => Promise.reject(error), drop: () => Promise.resolve() };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
