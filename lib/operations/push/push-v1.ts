import { Readable } from 'node:stream';
import { UsageError } from '../../errors.js';
import type { V1Repository, V1Upload } from '../../registry/index.js';
import { EMPTY_LAYER, formatReference, type Reference, type V1ImageOfLayer } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { blobNotFoundError } from '../download/index.js';
import type { PushPlan, PushRequest, PushResult } from './push-request.js';
import { v1ImagesOf } from './v1-images.js';

type PushV1Deps = Pick<OperationDeps, 'content' | 'metadata' | 'progress'>;

/**
 * Pushes an image by protocol v1: the v1 images it consists of, root first, those that are there skipped, then the tags. The
 * digest of the result is that of the manifest here; v1 has none. Call with the store locked. Throws NotFoundError (a blob
 * is not in the store), UsageError (no tag), and what the registry throws.
 */
export async function pushV1(
  deps: PushV1Deps,
  repository: V1Repository,
  { record, reference, tags, signal }: Pick<PushRequest, 'record' | 'reference' | 'tags' | 'signal'>,
): Promise<Omit<PushResult, 'bytes' | 'requests' | 'seconds'>> {
  checkTarget(reference, tags);
  const images = await v1ImagesOf(deps, record);
  const uploads = images.map((image) => uploadOf(deps, image));
  const top = images.at(-1)!.image.id;
  const sizes = new Map(uploads.map(({ image, size }) => [image.id, size]));
  const uploaded = await repository.push(uploads, {
    signal,
    tags: Object.fromEntries(tags.map((tag) => [tag, top])),
    onImage: (digest, state, transferred) =>
      deps.progress.event({
        v: 1,
        kind: 'blob',
        action: 'upload',
        digest,
        state,
        total: sizes.get(digest) ?? 0,
        ...(transferred === undefined ? {} : { transferred }),
      }),
    onRetry: (message) => deps.progress.note(message),
  });
  const stateOf = new Map(images.map(({ image, layer }) => [layer?.digest, uploaded.has(image.id)]));
  return {
    id: record.id,
    name: formatReference(reference),
    digest: record.manifest.digest,
    tags,
    layers: record.layers.map(({ digest, size }) => ({
      digest,
      size,
      state: stateOf.get(digest) === true ? 'uploaded' : 'present',
    })),
  };
}

/** What `pushV1` would upload; changes nothing. The digest is that of the manifest here. Throws as it does. */
export async function planPushV1(
  deps: PushV1Deps,
  repository: V1Repository,
  { record, reference, tags, signal }: Pick<PushRequest, 'record' | 'reference' | 'tags' | 'signal'>,
): Promise<PushPlan> {
  checkTarget(reference, tags);
  const images = await v1ImagesOf(deps, record);
  const missing = await repository.missing(
    images.map(({ image }) => image.id),
    { signal },
  );
  const planned = images.map(({ image, layer }) => ({
    digest: layer?.digest,
    bytes: image.bytes.length + (layer?.size ?? EMPTY_LAYER.length),
    isMissing: missing.has(image.id),
  }));
  const sum = (isMissing: boolean): number =>
    planned.reduce((total, image) => total + (image.isMissing === isMissing ? image.bytes : 0), 0);
  const uploaded = new Set(planned.flatMap(({ digest, isMissing }) => (isMissing ? digest : [])));
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

function checkTarget({ host, digest }: Reference, tags: readonly string[]): void {
  if (digest === undefined && tags.length > 0) return;
  throw new UsageError(`${host} speaks registry protocol v1, which knows tags and no digests`, {
    hint: 'write HOST/REPOSITORY:TAG',
  });
}

function uploadOf({ content }: PushV1Deps, { image, layer }: V1ImageOfLayer): V1Upload {
  if (layer === undefined) {
    const open = (): Promise<Readable> => Promise.resolve(Readable.from([EMPTY_LAYER], { objectMode: false }));
    return { image, size: EMPTY_LAYER.length, open };
  }
  const open = async ({ signal }: { readonly signal: AbortSignal }): Promise<Readable> => {
    // A registry that has the image does not ask for what is here no more.
    if ((await content.stat(layer.digest)) === undefined) throw blobNotFoundError(layer);
    return content.open(layer.digest, { signal });
  };
  return { image, size: layer.size, open };
}
