import { UsageError } from '../errors.js';
import type { RepositoryReader } from '../registry/index.js';
import { formatPlatform, formatReference, type Digest, type Schema1Manifest } from '../spec/index.js';
import type { OperationDeps } from './deps.js';
import { tagOrDigest } from './inspect-image.js';
import {
  blobStates,
  bytesToFetch,
  bytesUnpacked,
  checkPlatform,
  describeImage,
  missingSteps,
  MAX_CONFIG_BYTES,
  type ImageQuery,
  type PulledLayer,
} from './look-up-image.js';
import { readBlob } from './read-blob.js';
import { resolveDocument, type ResolvedImage } from './resolve-image.js';
import { layersOfSchema1, leafOf } from './schema1-image.js';
import type { LayerStep } from './unpack-layers.js';
import { knownSteps } from './unsealed-layers.js';

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

type PlanDeps = Pick<OperationDeps, 'registry' | 'progress'> &
  Partial<Pick<OperationDeps, 'content' | 'snapshots' | 'metadata'>>;

/**
 * Resolves an image and compares it with the store; changes nothing, in memory only. Without a store all is to be fetched.
 * Throws as `pullImage` does before it fetches.
 */
export async function planPull(deps: PlanDeps, request: ImageQuery): Promise<PullPlan> {
  const { content, snapshots } = deps;
  if ((await deps.registry.openV1(request.reference, request)) !== undefined) {
    throw new UsageError('a pull by registry protocol v1 cannot be planned', { hint: 'leave out --plan' });
  }
  const repository = await deps.registry.open(request.reference, request);
  const resolved = await resolveDocument(repository, tagOrDigest(request.reference), request);
  const { digest, all, missing } =
    'schema1' in resolved
      ? await compareSchema1(deps, repository, { schema1: resolved.schema1, request })
      : await compare(deps, repository, { resolved, request });
  const layers = await blobStates(content, all, missing);
  const fetchBytes = bytesToFetch(layers);
  return {
    reference: formatReference(request.reference),
    digest,
    platform: formatPlatform(request.platform),
    layers,
    fetchBytes,
    presentBytes: layers.reduce((sum, { size }) => sum + size, 0) - fetchBytes,
    unpackedBytes: bytesUnpacked(missing),
    freeBytes: snapshots === undefined ? null : (await snapshots.space()).dataFree,
  };
}

type Layer = Pick<LayerStep, 'blob'>;

interface Comparison {
  readonly digest: Digest;
  readonly all: readonly Layer[];
  readonly missing: readonly Layer[];
}

async function compare(
  { content, snapshots, progress }: PlanDeps,
  repository: RepositoryReader,
  { resolved, request }: { readonly resolved: ResolvedImage; readonly request: ImageQuery },
): Promise<Comparison> {
  const { steps } = await describeImage(resolved, request, {
    readConfig: async (config) =>
      content !== undefined && (await content.stat(config.digest)) !== undefined
        ? content.read(config.digest, { maxBytes: MAX_CONFIG_BYTES })
        : readBlob(repository.blob(config), { maxBytes: MAX_CONFIG_BYTES, signal: request.signal }),
    onNote: (line) => progress.note(line),
  });
  const missing = await missingSteps((layer) => snapshots?.has(layer) ?? Promise.resolve(false), steps);
  return { digest: resolved.raw.descriptor.digest, all: steps, missing };
}

async function compareSchema1(
  { content, snapshots, metadata, progress }: PlanDeps,
  repository: RepositoryReader,
  { schema1, request }: { readonly schema1: Schema1Manifest; readonly request: ImageQuery },
): Promise<Comparison> {
  checkPlatform(request, leafOf(schema1), (line) => progress.note(line));
  const store = content === undefined ? {} : { content };
  const blobs = await layersOfSchema1(store, repository, { schema1, signal: request.signal });
  const known = snapshots && metadata ? await knownSteps({ snapshots, metadata }, blobs) : [];
  const all = blobs.map((blob) => ({ blob }));
  return { digest: schema1.digest, all, missing: all.slice(known.length) };
}
