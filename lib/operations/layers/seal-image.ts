import type { ImageRecord } from '../../metadata/index.js';
import { digestOf, formatPlatform, MEDIA_TYPE, parseImageConfig } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { putDocument, recordImage } from '../store/index.js';
import type { LayerStep } from './unpack-layers.js';

/** An image that came without config or manifest, now that its layers are known. */
export interface ImageToSeal {
  /** Bytes of its config, with the diffIDs of `steps`. */
  readonly config: Buffer;
  /** Oldest first. */
  readonly steps: readonly LayerStep[];
  /** Annotations of the layers, parallel to `steps`. */
  readonly annotations?: readonly Readonly<Record<string, string>>[];
  readonly name?: string | undefined;
  /** `host/repository@digest` it came from. */
  readonly source?: string;
  readonly signal: AbortSignal;
}

/**
 * Stores the config of an image and a manifest for it, and records the image. The same layers and config always give the
 * same ID and digest. Resolves with the record.
 */
export async function sealImage(
  deps: Pick<OperationDeps, 'content' | 'metadata'>,
  { config: bytes, steps, annotations, name, source, signal }: ImageToSeal,
): Promise<ImageRecord> {
  const digest = await deps.content.put(bytes, digestOf(bytes));
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest, size: bytes.length };
  const layers = steps.map(({ blob: { mediaType, digest, size } }, index) => ({
    mediaType,
    digest,
    size,
    ...(annotations?.[index] === undefined ? {} : { annotations: annotations[index] }),
  }));
  const manifest = await putDocument(
    deps,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers },
    MEDIA_TYPE.ociManifest,
  );
  const { os, architecture, variant, created } = parseImageConfig(bytes, `config ${digest}`);
  return recordImage(
    deps,
    {
      id: digest,
      manifest,
      config,
      layers,
      diffIds: steps.map((step) => step.diffId),
      chainIds: steps.map((step) => step.chainId),
      ...(typeof created === 'string' ? { created } : {}),
      platform: formatPlatform(variant === undefined ? { os, architecture } : { os, architecture, variant }),
    },
    { name, ...(source === undefined ? {} : { source }), signal },
  );
}
