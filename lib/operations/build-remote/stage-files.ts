import { PassThrough } from 'node:stream';
import type { FileTree } from '../../rootfs/index.js';
import { formatOf, layerMediaType, parseDigest, type Descriptor, type DiffId } from '../../spec/index.js';
import { bothOrFirstError } from '../../util/index.js';
import type { Spool, SpooledFile } from '../build-context/index.js';
import type { StageTree } from '../build-context/index.js';
import type { RemoteLayer } from './layer-indexes.js';
import type { RemoteBuildDeps } from './types.js';

/** A layer built in this build. */
export interface BuiltLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  readonly file: SpooledFile;
}

/** Settings for building layers. */
interface StageFilesOptions {
  readonly spool: Spool;
  readonly manifestType: string;
  readonly sourceDateEpoch: number | undefined;
  /** Combines layers at registries into a tree, by their indexes. */
  readonly treeOf: (layers: readonly RemoteLayer[]) => Promise<FileTree>;
  readonly signal: AbortSignal;
}

/** The files of a stage that is not unpacked: layers at registries, with new layers on top. */
export class StageFiles {
  readonly #deps: Pick<RemoteBuildDeps, 'createLayerBuilder' | 'progress'>;
  readonly #options: StageFilesOptions;
  readonly #layers: RemoteLayer[];
  /** Opened on first use. */
  #tree: Promise<FileTree> | undefined;

  /** `base`: the files of another stage, or layers at registries, oldest first. */
  constructor(
    deps: Pick<RemoteBuildDeps, 'createLayerBuilder' | 'progress'>,
    base: StageFiles | readonly RemoteLayer[],
    options: StageFilesOptions,
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#layers = base instanceof StageFiles ? [...base.#layers] : [...base];
    this.#tree = base instanceof StageFiles ? base.#tree : undefined;
  }

  /** The files; undefined if there are none yet. */
  tree(): Promise<FileTree | undefined> {
    if (this.#tree === undefined && this.#layers.length > 0) this.#tree = this.#options.treeOf([...this.#layers]);
    return this.#tree ?? Promise.resolve(undefined);
  }

  /** Adds a layer at a registry on top; call it before the first `add`. */
  put(layer: RemoteLayer): void {
    this.#layers.push(layer);
    this.#tree = undefined;
  }

  /** Builds a layer from the changes that `change` writes. Throws its errors and those of packing. */
  async add(change: (stage: StageTree) => Promise<void>): Promise<BuiltLayer> {
    const { spool, manifestType, sourceDateEpoch, signal } = this.#options;
    const builder = await this.#deps.createLayerBuilder(await this.tree());
    await change(builder);
    const output = new PassThrough();
    const epoch = sourceDateEpoch === undefined ? {} : { sourceDateEpoch };
    const [{ diffId, notes }, file] = await bothOrFirstError(
      builder.pack({ compression: 'gzip', ...epoch, output, signal }),
      spool.take(output as AsyncIterable<Buffer>, signal),
    );
    for (const note of notes) this.#deps.progress.note(note);
    this.#tree = Promise.resolve(builder);
    const mediaType = layerMediaType(formatOf(manifestType), 'gzip', '');
    return { blob: { mediaType, digest: parseDigest(`sha256:${file.hash}`), size: file.size }, diffId, file };
  }
}
