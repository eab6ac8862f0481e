import { formatPlatform, formatReference, type Digest } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import {
  blobStates,
  bytesToFetch,
  bytesUnpacked,
  lookUpImage,
  missingSteps,
  MAX_CONFIG_BYTES,
  type ImageQuery,
  type PulledLayer,
} from './look-up-image.js';
import { readBlob } from './read-blob.js';

/** What a pull would do; all sizes in bytes, `unpackedBytes` an estimate. */
export interface PullPlan {
  readonly reference: string;
  readonly digest: Digest;
  readonly platform: string;
  readonly layers: readonly PulledLayer[];
  readonly fetchBytes: number;
  readonly presentBytes: number;
  readonly unpackedBytes: number;
  /** Null when there is no store yet. */
  readonly freeBytes: number | null;
}

/**
 * Resolves an image and compares it with the store; changes nothing, in memory only. Without a store all is to be fetched.
 * Throws as `pullImage` does before it fetches.
 */
export async function planPull(
  deps: Pick<OperationDeps, 'registry' | 'progress'> & Partial<Pick<OperationDeps, 'content' | 'snapshots'>>,
  request: ImageQuery,
): Promise<PullPlan> {
  const { content, snapshots } = deps;
  const repository = await deps.registry.open(request.reference, request);
  const { resolved, steps } = await lookUpImage(repository, request, {
    readConfig: async (config) =>
      content !== undefined && (await content.stat(config.digest)) !== undefined
        ? content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES })
        : readBlob(repository.blob(config), { maxBytes: MAX_CONFIG_BYTES, signal: request.signal }),
    onNote: (line) => deps.progress.note(line),
  });
  const missing = await missingSteps((layer) => snapshots?.has(layer) ?? Promise.resolve(false), steps);
  const layers = await blobStates(content, steps, missing);
  const fetchBytes = bytesToFetch(layers);
  return {
    reference: formatReference(request.reference),
    digest: resolved.raw.descriptor.digest,
    platform: formatPlatform(request.platform),
    layers,
    fetchBytes,
    presentBytes: layers.reduce((sum, { size }) => sum + size, 0) - fetchBytes,
    unpackedBytes: bytesUnpacked(missing),
    freeBytes: snapshots === undefined ? null : (await snapshots.space()).dataFree,
  };
}
