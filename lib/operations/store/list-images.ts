import type { Digest } from '../../spec/index.js';
import { compareText } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { LayerSizes, readRecords } from './layer-sizes.js';

/** An image of the store with one of its manifests. Sizes are bytes of uncompressed tar. */
export interface ImageSummary {
  readonly id: Digest;
  readonly names: readonly string[];
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly created: string | null;
  readonly pulled: string;
  readonly platform: string;
  readonly layers: number;
  readonly size: number;
  /** Size of the layers that no other image has. */
  readonly exclusiveSize: number;
  readonly containers: number;
  /** Present if requested. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * The images of the store, newest first. `filter`: part of a name or a prefix of an ID; `*` matches any text. Takes no
 * lock.
 */
export async function listImages(deps: Pick<OperationDeps, 'metadata'>, filter?: string): Promise<ImageSummary[]> {
  const { images, layers, containers } = await readRecords(deps);
  const sizes = new LayerSizes(layers, images);
  const matches = filter === undefined ? () => true : nameFilter(filter);
  return images
    .filter(({ id, names }) => matches(names, id))
    .map((image) => ({
      id: image.id,
      names: image.names,
      digest: image.manifest.digest,
      created: image.created ?? null,
      pulled: image.pulled,
      platform: image.platform,
      layers: image.chainIds.length,
      size: sizes.total(image),
      exclusiveSize: sizes.exclusive(image),
      containers: containers.filter((container) => container.image === image.id).length,
    }))
    .sort((a, b) => compareText(b.pulled, a.pulled) || compareText(a.id, b.id) || compareText(a.digest, b.digest));
}

function nameFilter(filter: string): (names: readonly string[], id: string) => boolean {
  const pattern = filter
    .split('*')
    .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    .join('.*');
  const name = new RegExp(filter.includes('*') ? `^(?:.*/)?${pattern}$` : pattern, 's');
  const id = new RegExp(`^(?:sha256:)?${pattern}`, 's');
  return (names, imageId) =>
    names.some((entry) => name.test(entry)) || id.test(imageId) || id.test(imageId.slice(imageId.indexOf(':') + 1));
}
