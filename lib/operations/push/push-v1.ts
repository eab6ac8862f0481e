import { UsageError } from '../../errors.js';
import type { V1Repository } from '../../registry/index.js';
import { type ChainId, type Digest, formatReference, MAX_CONFIG_BYTES } from '../../spec/index.js';
import { copyImage, CopyLimits, StoreSource, V1Destination } from '../copy/index.js';
import { type PushDeps, type PushPlan, type PushRequest, type PushResult, tagsOf } from './push-request.js';

/** Source and destination of a push. */
interface Trip {
  readonly source: StoreSource;
  readonly destination: V1Destination;
}

/**
 * Pushes an image by protocol v1: its v1 images, root first, without those already there, then the tags. The digest in
 * the result is that of the local manifest; v1 has none. Throws NotFoundError (no copy of a blob is left), UsageError
 * (not possible in v1), and the errors of the registry.
 */
export async function pushV1(
  deps: PushDeps,
  repository: V1Repository,
  request: PushRequest,
): Promise<Omit<PushResult, 'bytes' | 'requests' | 'seconds'>> {
  const { record, reference, signal } = request;
  const tags = checkRequest(request);
  // Prevents other processes from removing blobs.
  const lock = await deps.metadata.lock('store', { mode: 'shared', signal });
  try {
    const { source, destination } = await openTrip(deps, repository, request);
    const { targets } = await copyImage(
      { progress: deps.progress, limits: new CopyLimits(1) },
      {
        ...{ source, selector: {}, selection: { kind: 'all' }, preserveDigests: true, referrers: false, signal },
        targets: [{ destination, tags }],
      },
    );
    const states = new Map(targets[0]!.blobs.map(({ digest, state }) => [digest, state]));
    return {
      id: record.id,
      name: formatReference(reference),
      digest: record.manifest.digest,
      tags,
      layers: record.layers.map(({ digest, size }) => ({ digest, size, state: states.get(digest)! })),
    };
  } finally {
    lock.release();
  }
}

/** Plans `pushV1` without changing anything. Throws the same errors. */
export async function planPushV1(deps: PushDeps, repository: V1Repository, request: PushRequest): Promise<PushPlan> {
  const { record, reference, signal } = request;
  checkRequest(request);
  const { source, destination } = await openTrip(deps, repository, request);
  for (const blob of [...record.layers, record.config]) await destination.putBlob(source.blob(blob));
  await destination.putManifest(await source.manifest({}, { signal }), {});
  const planned = await destination.plan({ signal });
  const sum = (isMissing: boolean): number =>
    planned.reduce((total, image) => total + (image.isMissing === isMissing ? image.bytes : 0), 0);
  const uploaded = new Set(planned.flatMap(({ layer, isMissing }) => (isMissing ? (layer ?? []) : [])));
  return {
    reference: formatReference(reference),
    digest: record.manifest.digest,
    layers: record.layers.map(({ digest, size }) => ({
      digest,
      size,
      state: uploaded.has(digest) ? 'uploaded' : 'present',
    })),
    uploadBytes: sum(true),
    mountBytes: 0,
    presentBytes: sum(false),
  };
}

/** The tags to set. Throws UsageError for requests that v1 does not support. */
function checkRequest(request: PushRequest): string[] {
  const { format, compression } = request;
  const { host, digest } = request.reference;
  if ((format !== undefined && format !== 'v1') || compression !== undefined) {
    throw new UsageError(`${host} speaks registry protocol v1, which has no manifests and takes layers as they are`, {
      hint: 'leave out --format and --compression',
    });
  }
  const tags = tagsOf(request);
  if (digest === undefined && tags.length > 0) return tags;
  throw new UsageError(`${host} speaks registry protocol v1, which knows tags and no digests`, {
    hint: 'write HOST/REPOSITORY:TAG',
  });
}

async function openTrip(
  deps: PushDeps,
  repository: V1Repository,
  { record }: Pick<PushRequest, 'record'>,
): Promise<Trip> {
  const { content, metadata, progress } = deps;
  const images = await metadata.images.list();
  const source = new StoreSource(deps, record, { images, made: [] });
  const configOf = async (chainId: ChainId): Promise<Buffer | undefined> => {
    const below = images.find(({ chainIds, id }) => chainIds.at(-1) === chainId && id !== record.id);
    const config: Digest | undefined = below?.config.digest;
    return config === undefined ? undefined : content.read(config, { maxBytes: MAX_CONFIG_BYTES });
  };
  return { source, destination: new V1Destination(repository, progress, { configOf, diffIds: record.diffIds }) };
}
