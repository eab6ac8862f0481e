import { InvalidManifestError, UnsupportedMediaTypeError } from '../errors.js';
import {
  baseMediaType,
  digestAlgorithm,
  digestOf,
  isSchema1Type,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
} from '../spec/index.js';
import type { Exchange } from './exchange.js';
import { readBody } from './read-body.js';
import { RequestError } from './request-error.js';
import type { ManifestKey, ManifestPublication, RegistryStorage } from './types.js';

/** GET and HEAD of a manifest by tag or digest. Sends the bytes as pushed (distribution-spec, "Pulling manifests"). */
export async function getManifest(exchange: Exchange, repository: string, key: ManifestKey): Promise<void> {
  const manifest = await exchange.storage.findManifest(repository, key);
  if (manifest === undefined) unknownManifest(key);
  const { mediaType, digest } = manifest.descriptor;
  const etag = `"${digest}"`;
  const headers = { 'Content-Type': mediaType, 'Docker-Content-Digest': digest, ETag: etag };
  if (exchange.isFresh(etag)) return exchange.answer(304, headers);
  exchange.answer(200, headers, manifest.bytes);
}

/** PUT of a manifest by tag or digest (distribution-spec, "Pushing manifests"). */
export async function putManifest(exchange: Exchange, repository: string, key: ManifestKey): Promise<void> {
  const { writer } = exchange;
  const contentType = exchange.request.headers['content-type'];
  const bytes = await readManifest(exchange);
  const digest = digestOf(bytes, 'digest' in key ? digestAlgorithm(key.digest) : 'sha256');
  if ('digest' in key && key.digest !== digest) {
    throw new RequestError(400, 'DIGEST_INVALID', `the manifest has digest ${digest}`, {
      detail: { expected: key.digest, actual: digest },
    });
  }
  const document = parse(bytes, contentType ?? '');
  await checkReferences(exchange.storage, repository, document);
  const descriptor = { mediaType: baseMediaType(contentType ?? '') || document.mediaType, digest, size: bytes.length };
  const publication: ManifestPublication = {
    manifest: { bytes, descriptor },
    ...('tag' in key ? { tag: key.tag } : {}),
    ...(document.subject === undefined
      ? {}
      : { referrer: { subject: document.subject.digest, descriptor: referrerDescriptor(document, descriptor) } }),
  };
  await writer.putManifest(repository, publication);
  exchange.answer(201, {
    Location: `/v2/${repository}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    ...(document.subject === undefined ? {} : { 'OCI-Subject': document.subject.digest }),
  });
}

/** DELETE of a manifest by digest, or of a tag only (distribution-spec, "Content Management"). */
export async function deleteManifest(exchange: Exchange, repository: string, key: ManifestKey): Promise<void> {
  const { writer } = exchange;
  const removed =
    'tag' in key ? await writer.deleteTag(repository, key.tag) : await writer.deleteManifest(repository, key.digest);
  if (!removed) unknownManifest(key);
  exchange.answer(202, {});
}

async function readManifest(exchange: Exchange): Promise<Buffer> {
  const bytes = await readBody(exchange, MAX_MANIFEST_BYTES);
  if (bytes !== undefined) return bytes;
  throw new RequestError(413, 'SIZE_INVALID', `a manifest may have at most ${MAX_MANIFEST_BYTES} bytes`);
}

function parse(bytes: Buffer, contentType: string): ImageManifest | ImageIndex {
  if (isSchema1Type(baseMediaType(contentType)))
    throw new RequestError(400, 'MANIFEST_INVALID', 'Docker schema 1 is not supported: push OCI or schema 2');
  try {
    return parseManifest(bytes, contentType, 'the manifest');
  } catch (error) {
    if (error instanceof InvalidManifestError || error instanceof UnsupportedMediaTypeError) {
      throw new RequestError(400, 'MANIFEST_INVALID', error.message, { cause: error });
    }
    throw error;
  }
}

/**
 * Checks that everything referenced exists, except the subject, which may be pushed later, and foreign layers, which
 * are fetched from their URLs.
 */
async function checkReferences(
  storage: RegistryStorage,
  repository: string,
  document: ImageManifest | ImageIndex,
): Promise<void> {
  const missing: Digest[] = [];
  if (document.kind === 'index') {
    for (const digest of new Set(document.manifests.map((entry) => entry.digest))) {
      const isThere =
        (await storage.hasManifest(repository, digest)) || (await storage.statBlob(repository, digest)) !== undefined;
      if (!isThere) missing.push(digest);
    }
  } else {
    for (const blob of [document.config, ...document.layers.filter((layer) => !isForeign(layer))]) {
      const found = await storage.statBlob(repository, blob.digest);
      if (found === undefined) missing.push(blob.digest);
      else if (found.size !== blob.size) {
        throw new RequestError(400, 'MANIFEST_INVALID', `${blob.digest} has ${found.size} bytes, not ${blob.size}`);
      }
    }
  }
  if (missing.length > 0) {
    throw new RequestError(400, 'MANIFEST_BLOB_UNKNOWN', `the repository does not have ${missing[0]}`, {
      detail: { digests: missing.slice(0, 100) },
    });
  }
}

function isForeign({ mediaType, urls }: Descriptor): boolean {
  return (urls?.length ?? 0) > 0 || /\.(nondistributable|foreign)\./.test(mediaType);
}

/** A manifest's descriptor in a list of referrers (distribution-spec, "Listing Referrers"). */
function referrerDescriptor(document: ImageManifest | ImageIndex, descriptor: Descriptor): Descriptor {
  const artifactType = document.artifactType ?? (document.kind === 'manifest' ? document.config.mediaType : undefined);
  return {
    ...descriptor,
    ...(artifactType === undefined || artifactType === '' ? {} : { artifactType }),
    ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
  };
}

function unknownManifest(key: ManifestKey): never {
  throw new RequestError(404, 'MANIFEST_UNKNOWN', 'manifest unknown to registry', { detail: key });
}
