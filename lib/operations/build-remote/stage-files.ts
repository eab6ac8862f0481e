import { PassThrough } from 'node:stream';
import type { FileTree } from '../../rootfs/index.js';
import { formatOf, layerMediaType, parseDigest, type Descriptor, type DiffId } from '../../spec/index.js';
import { bothOrFirstError } from '../../util/index.js';
import type { Spool, SpooledFile } from '../build-context/index.js';
import type { StageTree } from '../build-context/index.js';
import type { RemoteBuildDeps } from './types.js';

/** A layer that this build made. */
export interface BuiltLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly file: SpooledFile;
}

/** How layers of steps are made. */
export interface StageFilesOptions {
  readonly spool: Spool;
  readonly manifestType: string;
  readonly sourceDateEpoch: number | undefined;
  readonly signal: AbortSignal;
}

/** The files of a stage that lies in no directory: those of its base, and layers made on them. */
export class StageFiles {
  readonly #deps: Pick<RemoteBuildDeps, 'createLayerBuilder' | 'progress'>;
  readonly #options: StageFilesOptions;
  #tree: () => Promise<FileTree | undefined>;

  /** `base`: read when a step needs to know it; undefined: there is none. */
  constructor(
    deps: Pick<RemoteBuildDeps, 'createLayerBuilder' | 'progress'>,
    base: () => Promise<FileTree | undefined>,
    options: StageFilesOptions,
  ) {
    this.#deps = deps;
    this.#tree = base;
    this.#options = options;
  }

  /** The files; undefined: there are none yet. */
  tree(): Promise<FileTree | undefined> {
    return this.#tree();
  }

  /** Makes a layer of what `change` writes. Throws what it throws, and what packing throws. */
  async add(change: (stage: StageTree) => Promise<void>): Promise<BuiltLayer> {
    const { spool, manifestType, sourceDateEpoch, signal } = this.#options;
    const builder = await this.#deps.createLayerBuilder(await this.#tree());
    await change(builder);
    const output = new PassThrough();
    const epoch = sourceDateEpoch === undefined ? {} : { sourceDateEpoch };
    const [{ diffId, notes }, file] = await bothOrFirstError(
      builder.pack({ compression: 'gzip', ...epoch, output, signal }),
      spool.take(output as AsyncIterable<Buffer>, signal),
    );
    for (const note of notes) this.#deps.progress.note(note);
    this.#tree = () => Promise.resolve(builder);
    const mediaType = layerMediaType(formatOf(manifestType), 'gzip', '');
    return { blob: { mediaType, digest: parseDigest(`sha256:${file.hash}`), size: file.size }, diffId, file };
  }
}
