import { Readable } from 'node:stream';
import {
  formatOf,
  formatPlatform,
  formatReference,
  layerInFormat,
  type Digest,
  type ImageSource,
  type ReopenableBlob,
} from '../../spec/index.js';
import { imageConfigOf, manifestTypeOf, type BuildResult, type StageState, type StepReport } from '../build/index.js';
import { bytesOf } from '../build-context/index.js';
import { type BlobPlace, ComposedImage } from '../copy/index.js';
import { imageDocuments } from '../store/index.js';
import type { BuiltLayer } from './stage-files.js';
import type { RemoteBuildRequest } from './types.js';

/** A built stage and the locations of its layers. */
export interface BuiltStage {
  readonly state: StageState;
  /** Provides the layers that are in neither `made` nor `found`. */
  readonly base: ImageSource | undefined;
  /** Layers of this build, base stages included. */
  readonly made: ReadonlyMap<Digest, ReopenableBlob>;
  /** Layers of the remote cache. */
  readonly found: ReadonlyMap<Digest, ReopenableBlob>;
  /** Locations of the cached layers. */
  readonly places: readonly BlobPlace[];
  readonly steps: readonly StepReport[];
}

/** A layer in a temporary file as a readable blob. */
export function spooledBlob({ blob, file }: Pick<BuiltLayer, 'blob' | 'file'>): ReopenableBlob {
  const open: ReopenableBlob['open'] = ({ offset }) =>
    Promise.resolve(Readable.from(bytesOf({ fd: file.fd, offset, size: file.size - offset }), { objectMode: false }));
  return { descriptor: blob, open };
}

/** The image of a built stage as a copy source, with its report. */
export function composeStage(
  { state, base, made, found, places, steps }: BuiltStage,
  request: RemoteBuildRequest,
): { readonly image: ComposedImage; readonly result: Omit<BuildResult, 'seconds'> } {
  const format = formatOf(manifestTypeOf(request));
  const layers = state.layers.flatMap((layer) => (layer.kind === 'base' ? [layer] : []));
  const described = layers.map(({ blob }) => layerInFormat(blob, format));
  const config = imageConfigOf(state, { diffIds: layers.map(({ diffId }) => diffId) }, request);
  const documents = imageDocuments(config, { layers: described, format, annotations: request.annotations });
  const blobs = new Map([...found, ...made]);
  const neighbours = [...places];
  for (const { blob } of layers) {
    if (base === undefined || blobs.has(blob.digest)) continue;
    blobs.set(blob.digest, base.blob(blob));
    if (base.repository !== undefined) neighbours.push({ place: base.repository, digest: blob.digest });
  }
  return {
    image: new ComposedImage(documents, { blobs, places: neighbours }),
    result: {
      id: documents.config.digest,
      digest: documents.manifest.descriptor.digest,
      names: request.references.map(formatReference),
      platform: formatPlatform(state.platform),
      layers: described.map(({ digest, size }) => ({ digest, size, state: made.has(digest) ? 'packed' : 'present' })),
      steps,
    },
  };
}
