import { UsageError } from '../../errors.js';
import {
  type Digest,
  formatOf,
  type HistoryEntry,
  layerInFormat,
  parseTransportName,
  type ReopenableBlob,
} from '../../spec/index.js';
import { thenCloseAll } from '../../util/index.js';
import { Spool } from '../build-context/index.js';
import { RemoteImages, type RemoteImage } from '../build-remote/index.js';
import { ComposedImage, deliverImage } from '../copy/index.js';
import { type ChangedImage, derivedConfig, describeChange, type TarToAppend } from '../mutate/index.js';
import { imageDocuments } from '../store/index.js';
import { packFlat, takeTar } from './new-layers.js';
import type { NewLayer, RemoteChangeDeps, RemoteChangeRequest } from './types.js';

/** Creates an image with a modified config and the same layers. Throws NotFoundError, UsageError, the errors of copying. */
export function configRemoteImage(deps: RemoteChangeDeps, request: RemoteChangeRequest): Promise<ChangedImage> {
  return changeRemoteImage(deps, request, ({ base, step }) =>
    Promise.resolve({
      layers: layersOf(base),
      history: [...historyOf(base), { ...step('imgtool config'), empty_layer: true }],
    }),
  );
}

/**
 * Creates an image with one more layer for each tar, which becomes the blob unchanged. Throws NotFoundError,
 * UsageError, LayerFormatError, PathEscapeError, UnsupportedMediaTypeError, DiskSpaceError, the errors of copying.
 */
export function appendToRemoteImage(
  deps: RemoteChangeDeps,
  request: RemoteChangeRequest & { readonly tars: readonly TarToAppend[] },
): Promise<ChangedImage> {
  return changeRemoteImage(deps, request, async ({ base, step, spool }) => {
    const { tars, signal } = request;
    const indexer = await deps.createIndexer();
    try {
      const added: NewLayer[] = [];
      for (const tar of tars)
        added.push(await takeTar({ indexer, spool }, tar, { format: formatOf(base.mediaType), signal }));
      return {
        layers: [...layersOf(base), ...added],
        history: [...historyOf(base), ...tars.map(({ name }) => step(`imgtool append ${name}`))],
      };
    } finally {
      await indexer.close();
    }
  });
}

/**
 * Moves the layers that the image added to its base `from` onto another base. Both bases are named like the image.
 * Throws NotFoundError, UsageError (the image is not based on `from`), the errors of copying.
 */
export function rebaseRemoteImage(
  deps: RemoteChangeDeps,
  request: RemoteChangeRequest & { readonly onto: string; readonly from: string },
): Promise<ChangedImage> {
  return changeRemoteImage(deps, request, async ({ base, step, images }) => {
    const [below, onto] = await Promise.all([images.find(request.from), images.find(request.onto)]);
    const depth = below.layers.length;
    const isBelow =
      depth < base.layers.length && below.layers.every(({ diffId }, i) => diffId === base.layers[i]!.diffId);
    if (!isBelow)
      throw new UsageError(`the image is not based on ${request.from}`, {
        hint: 'compare the layers of both: imgtool inspect docker://REF --config',
      });
    const own = historyOf(base).slice(historyOf(below).length);
    return {
      layers: [...layersOf(onto), ...layersOf(base).slice(depth)],
      history: [...historyOf(onto), ...own, { ...step('imgtool rebase'), empty_layer: true }],
    };
  });
}

/**
 * Creates an image with all files in a single layer. Reads layers twice: first their headers, then the remaining files.
 * Throws NotFoundError, UsageError, LayerFormatError, DiskSpaceError, the errors of copying.
 */
export function flattenRemoteImage(deps: RemoteChangeDeps, request: RemoteChangeRequest): Promise<ChangedImage> {
  return changeRemoteImage(deps, request, async ({ base, step, spool }) => {
    if (base.layers.length === 0) throw new UsageError('an image without layers has nothing to flatten');
    const { sourceDateEpoch, signal } = request;
    const tree = await base.tree();
    const format = formatOf(base.mediaType);
    const layer = await packFlat(deps, tree, { spool, format, sourceDateEpoch, signal });
    return { layers: [layer], history: [step('imgtool flatten')] };
  });
}

interface ChangeParts {
  readonly base: RemoteImage;
  readonly images: RemoteImages;
  readonly spool: Spool;
  readonly step: (createdBy: string) => HistoryEntry;
}

/** Finds the image, applies the config changes, and copies the image with the layers from `make`. */
async function changeRemoteImage(
  deps: RemoteChangeDeps,
  request: RemoteChangeRequest,
  make: (
    parts: ChangeParts,
  ) => Promise<{ readonly layers: readonly NewLayer[]; readonly history: readonly HistoryEntry[] }>,
): Promise<ChangedImage> {
  const { destination, author, signal } = request;
  // Reports an invalid name before any work.
  parseTransportName(destination);
  const images = new RemoteImages(deps, request);
  const spool = new Spool(deps.temporaryDirectory);
  const change = async (): Promise<ChangedImage> => {
    const base = await images.find(request.image);
    const { config } = base;
    const { execution, created, step } = await describeChange(config, request);
    const { layers, history } = await make({ base, images, spool, step });
    const format = formatOf(base.mediaType);
    const diffIds = layers.map(({ diffId }) => diffId);
    const described = layers.map(({ blob }) => layerInFormat(blob, format));
    const document = derivedConfig({ config, execution, created, author, diffIds, history });
    const documents = imageDocuments(document, { layers: described, format });
    const image = new ComposedImage(documents, {
      blobs: new Map(layers.map(({ blob, source }): [Digest, ReopenableBlob] => [blob.digest, source])),
      places: layers.flatMap(({ blob, place }) => (place === undefined ? [] : [{ place, digest: blob.digest }])),
    });
    await deliverImage(deps, image, { destinations: [destination], signal });
    return {
      id: documents.config.digest,
      name: destination,
      digest: documents.manifest.descriptor.digest,
      layers: described.map(({ digest, size }) => ({ digest, size })),
    };
  };
  return thenCloseAll(change, [() => images.close(), () => spool.close()]);
}

function layersOf({ layers, blobs, source }: RemoteImage): NewLayer[] {
  return layers.map(({ blob, diffId }, i) => ({ blob, diffId, source: blobs[i]!.blob, place: source.repository }));
}

function historyOf({ config }: RemoteImage): readonly HistoryEntry[] {
  return config.history ?? [];
}
