import { parseDigest, type Descriptor, type DiffId, type ReopenableBlob } from '../../spec/index.js';
import { artifactError, cacheArtifact, type CacheRepository } from './cache-repository.js';

/** Media type of the record of a step. */
const STEP_RECORD_TYPE = 'application/vnd.imgtool.build.step.v1+json';

/** The layer of a cached step. */
export interface CachedLayer {
  readonly blob: Descriptor;
  readonly diffId: DiffId;
  /** RFC 3339. */
  readonly created: string;
}

/** Finds the steps in the repository by key: one HEAD each, all at once. Throws the errors of the registry. */
export async function findSteps(repository: CacheRepository, keys: readonly string[]): Promise<Set<string>> {
  const found = await Promise.all(keys.map((key) => repository.find(tagOf(key))));
  return new Set(keys.filter((_, i) => found[i] !== undefined));
}

/**
 * Reads the layers of a step and its predecessors, oldest first, from its record. Throws InvalidManifestError (no
 * record of this key), the errors of the registry.
 */
export async function readStep(repository: CacheRepository, key: string): Promise<readonly CachedLayer[]> {
  const { record } = await repository.read(tagOf(key), STEP_RECORD_TYPE);
  return parseRecord(record, key);
}

/**
 * Uploads a step. `layers`: its own, last, and the earlier ones; `open` reads those that the repository lacks and
 * cannot mount from any of `mountFrom`. Throws the errors of the registry.
 */
export async function keepStep(
  repository: CacheRepository,
  key: string,
  {
    layers,
    ...how
  }: {
    readonly layers: readonly CachedLayer[];
    readonly open: (blob: Descriptor) => ReopenableBlob;
    readonly mountFrom: readonly string[];
  },
): Promise<void> {
  // References all layers of the record, so that the registry keeps those of earlier steps even if their tags move.
  const blobs = layers.map(({ blob }) => blob);
  await repository.put(tagOf(key), cacheArtifact(STEP_RECORD_TYPE, { version: 1, key, layers }, blobs), how);
}

function tagOf(key: string): string {
  return `ic-${key}`;
}

function parseRecord(value: unknown, key: string): readonly CachedLayer[] {
  const record = value as { readonly version?: unknown; readonly key?: unknown; readonly layers?: unknown } | null;
  if (record?.version !== 1 || record.key !== key || !Array.isArray(record.layers)) throw artifactError(tagOf(key));
  return record.layers.map((layer: unknown) => {
    const { blob, diffId, created } = (layer ?? {}) as Partial<CachedLayer>;
    const { mediaType, digest, size } = blob ?? {};
    const isWhole =
      typeof mediaType === 'string' &&
      typeof digest === 'string' &&
      typeof diffId === 'string' &&
      Number.isSafeInteger(size) &&
      size! >= 0 &&
      typeof created === 'string' &&
      !Number.isNaN(Date.parse(created));
    if (!isWhole) throw artifactError(tagOf(key));
    return {
      blob: { mediaType, digest: parseDigest(digest), size: size! },
      diffId: parseDigest(diffId) as DiffId,
      created,
    };
  });
}
