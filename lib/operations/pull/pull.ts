import type { ImageRecord } from '../../metadata/index.js';
import { formatReference, tagOrDigest } from '../../spec/index.js';
import { type StoreDestination, withStoreDestination } from '../copy/index.js';
import { presentLayers, type PulledLayer } from '../layers/index.js';
import {
  byProtocol,
  openRegistrySource,
  resolveDocument,
  type ResolvedSchema1,
  measureTraffic,
} from '../registry/index.js';
import { findLocal, isFrom, notInStoreError, tagName } from './local-image.js';
import type { PullDeps, PullRequest, PullResult } from './pull-request.js';
import { pullV1 } from './pull-v1.js';

/** An image in the store and the layers fetched for it. */
type Pulled = readonly [record: ImageRecord, layers: readonly PulledLayer[]];

/**
 * Pulls an image into the store: fetches blobs in parallel, unpacks layers oldest first as they arrive, and writes the image
 * record last. Idempotent: a second run resumes. Throws the errors of the registry, the store and the layers; AbortError.
 */
export async function pullImage(deps: PullDeps, request: PullRequest): Promise<PullResult> {
  const traffic = measureTraffic([deps.registry]);
  const [record, layers] = await withStoreDestination(deps, request, (store) => pullInto(store, deps, request));
  const { bytesReceived, requests, seconds } = traffic();
  return {
    id: record.id,
    name: formatReference(request.reference),
    digest: record.manifest.digest,
    layers,
    ...{ bytes: bytesReceived, requests, seconds },
  };
}

async function pullInto(store: StoreDestination, deps: PullDeps, request: PullRequest): Promise<Pulled> {
  const { reference, signal } = request;
  const local = await findLocal(deps, request);
  if (local.record !== undefined && local.settled) return [local.record, presentLayers(local.record)];
  if (request.policy === 'never') throw notInStoreError(reference, local);
  return byProtocol<Pulled>(deps.registry, reference, {
    v2: () => pullV2(store, deps, { request, local: local.record }),
    v1: (repository) => pullV1(store, deps, repository, { request, local: local.record }),
    signal,
  });
}

async function pullV2(
  store: StoreDestination,
  deps: PullDeps,
  { request, local }: { readonly request: PullRequest; readonly local: ImageRecord | undefined },
): Promise<Pulled> {
  const { reference } = request;
  const source = await openRegistrySource(deps.registry, reference, request);
  if (local !== undefined) {
    const head = await source.reader.resolve(tagOrDigest(reference), request);
    if (isFrom(local, head.digest)) return [local, presentLayers(local)];
  }
  await store.begin();
  const document = await resolveDocument(source.reader, tagOrDigest(reference), request);
  if ('schema1' in document) noteOtherName(deps, request, document);
  const { image, digest, layers } = await store.fetch(source, document, request);
  const from = `${reference.host}/${reference.repository}@${digest}`;
  return [await store.record(image, { name: tagName(reference), source: from }), layers];
}

/** Proxies and copied tags serve schema 1 under other names; v2 manifests are not signed at all. */
function noteOtherName({ progress }: PullDeps, { reference }: PullRequest, { schema1 }: ResolvedSchema1): void {
  const { repository, tag, digest } = reference;
  if (digest !== undefined || (schema1.name === repository && schema1.tag === tag)) return;
  const own = JSON.stringify(`${schema1.name}:${schema1.tag}`).slice(0, 300);
  progress.note(`the manifest calls itself ${own}: it is taken as ${repository}:${tag}`);
}
