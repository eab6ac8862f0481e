import { type Descriptor, formatPlatform, type ImageConfig, ociImageOf, parseImageConfig } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { type NewImage, putDocuments } from '../store/index.js';
import type { LayerPlan } from './unpack-layers.js';

/** An image without a manifest whose layers are known by now. */
export interface ImageToWrite {
  /** Bytes of its config, which contains the diffIDs of `steps`. */
  readonly config: Buffer;
  /** Oldest first. */
  readonly steps: readonly LayerPlan[];
  /** Annotations of the layers, parallel to `steps`. */
  readonly annotations?: readonly Readonly<Record<string, string>>[];
}

/**
 * Stores the config of an image and creates an OCI manifest for it. The same layers and config always result in the
 * same ID and digest. Resolves with the image to record.
 */
export async function writeImage(
  deps: Pick<OperationDeps, 'content'>,
  { config: bytes, steps, annotations }: ImageToWrite,
): Promise<NewImage> {
  const layers = steps.map(({ blob: { mediaType, digest, size } }, index) => ({
    mediaType,
    digest,
    size,
    ...(annotations?.[index] === undefined ? {} : { annotations: annotations[index] }),
  }));
  const { config, manifest } = ociImageOf(bytes, layers);
  await putDocuments(deps, { config, configBytes: bytes, manifest });
  const document = parseImageConfig(bytes, `config ${config.digest}`);
  return { ...imageOf(document, steps), config, id: config.digest, manifest: manifest.descriptor, layers };
}

/** The parts of an image's record that follow from its config and layers. */
export function imageOf(
  config: ImageConfig,
  steps: readonly LayerPlan[],
): Pick<NewImage, 'diffIds' | 'chainIds' | 'created' | 'platform'> & { readonly layers: readonly Descriptor[] } {
  return {
    layers: steps.map((step) => step.blob),
    diffIds: steps.map((step) => step.diffId),
    chainIds: steps.map((step) => step.chainId),
    ...(config.created === undefined ? {} : { created: config.created }),
    platform: formatPlatform(config),
  };
}
