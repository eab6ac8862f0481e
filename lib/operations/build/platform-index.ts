import { hostPlatform, platformScore, type Digest, type ManifestFormat, type Platform } from '../../spec/index.js';
import { indexOf } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { type NewImage, recordImage } from '../store/index.js';
import type { BuildResult } from './types.js';

/** An image built for one platform. */
export interface PlatformImage {
  readonly image: NewImage;
  readonly platform: Platform;
}

/**
 * Writes an index of images and records them with it. `names` go to the image for this machine, else to the first.
 * Resolves with the index's digest and all names of that image.
 */
export async function recordIndex(
  deps: Pick<OperationDeps, 'content' | 'metadata'>,
  images: readonly PlatformImage[],
  {
    names,
    format,
    signal,
  }: { readonly names: readonly string[]; readonly format: ManifestFormat; readonly signal: AbortSignal },
): Promise<{ readonly digest: Digest; readonly names: readonly string[] }> {
  const described = images.map(({ image, platform }) => ({ manifest: image.manifest, platform }));
  const { bytes, descriptor } = indexOf(described, { format });
  await deps.content.put(bytes, descriptor.digest);
  const score = ({ platform }: PlatformImage): number => platformScore(hostPlatform(), platform);
  const named = images.reduce((best, image) => (score(image) > score(best) ? image : best));
  // The named image comes last, so that its name always leads to a complete index.
  for (const { image } of [...images.filter((other) => other !== named), named])
    await recordImage(deps, { ...image, index: descriptor }, { signal });
  const given = await recordNames(deps, { ...named.image, index: descriptor }, { names, signal });
  return { digest: descriptor.digest, names: given };
}

/** Records an image under `names`. Resolves with all its names. */
export async function recordNames(
  deps: Pick<OperationDeps, 'metadata'>,
  image: NewImage,
  { names, signal }: { readonly names: readonly string[]; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const [first, ...rest] = names;
  let record = await recordImage(deps, image, { name: first, signal });
  for (const name of rest) record = await recordImage(deps, image, { name, signal });
  return record.names;
}

/** The result of a multi-platform build: the index's digest and its images. */
export function composeIndexResult(
  results: readonly Omit<BuildResult, 'seconds'>[],
  index: Pick<BuildResult, 'digest' | 'names'>,
): Omit<BuildResult, 'seconds'> {
  const layers = new Map(results.flatMap((result) => result.layers.map((layer) => [layer.digest, layer])));
  return {
    ...{ id: index.digest, digest: index.digest, names: index.names },
    platform: results.map(({ platform }) => platform).join(','),
    layers: [...layers.values()],
    steps: results.flatMap(({ steps }) => steps),
    images: results.map(({ id, digest, platform, layers: own }) => ({ id, digest, platform, layers: own })),
  };
}
