import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { InvalidReferenceError, NotFoundError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  parseManifest,
  type RawManifest,
  type Reference,
  tagOrDigest,
  type Abortable,
} from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { RegistrySource } from './registry-source.js';
import { searchRepositories } from './registry-queries.js';
import { SharedRead } from './shared-read.js';

type Deps = Pick<OperationDeps, 'registry'>;
/**
 * Lists all repositories of a registry in its order, over protocol v1 by a search. Throws UsageError and the errors of
 * the registry.
 */
export async function listRepositories({ registry }: Deps, host: string, options: Abortable): Promise<string[]> {
  const repositories: string[] = [];
  try {
    for await (const repository of registry.catalog(host, options)) repositories.push(repository);
    return repositories;
  } catch (error) {
    // The name is arbitrary: this only determines whether the host speaks v1.
    const v1 = await registry.openV1({ host, repository: 'catalog' }, { ...options, after: error });
    if (v1 === undefined) throw error;
    const hint = 'protocol v1 has no catalog: look for names with "imgtool search"';
    return searchRepositories(registry, host, { ...options, hint });
  }
}

/** Fetches a manifest or index. Throws NotFoundError. */
export async function getManifest({ registry }: Deps, reference: Reference, options: Abortable): Promise<RawManifest> {
  return (await registry.open(reference, options)).manifest(tagOrDigest(reference), options);
}

/**
 * Publishes a manifest or index unchanged under the reference's tag, or by its digest. Throws InvalidManifestError,
 * InvalidReferenceError when the reference has a different digest.
 */
export async function publishManifest(
  { registry }: Deps,
  reference: Reference,
  { bytes, signal }: Abortable & { readonly bytes: Buffer },
): Promise<Descriptor> {
  const { mediaType } = parseManifest(bytes, '', 'the manifest');
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  const { digest, tag } = reference;
  if (digest !== undefined && digest !== descriptor.digest) {
    throw new InvalidReferenceError(`the manifest has digest ${descriptor.digest}, not ${digest}`, {
      input: formatReference(reference),
    });
  }
  const writer = await registry.openWriter(reference, { signal });
  await writer.putManifest({ bytes, descriptor }, tag === undefined ? { digest: descriptor.digest } : { tag }, {
    signal,
  });
  return descriptor;
}

/** Size of a blob in bytes. Throws NotFoundError. */
export async function findBlob({ registry }: Deps, reference: Reference, options: Abortable): Promise<number> {
  const digest = digestIn(reference);
  const reader = await registry.open(reference, options);
  const size = await reader.blobSize?.(digest, options);
  if (size !== undefined) return size;
  throw new NotFoundError(`${reference.host} does not tell the size of ${digest}`, { kind: 'blob', subject: digest });
}

/**
 * Writes a blob to `output` and ends it. Writes the last bytes only after verifying the digest. Throws NotFoundError,
 * DigestMismatchError.
 */
export async function readRemoteBlob(
  deps: Deps,
  reference: Reference,
  { output, signal }: Abortable & { readonly output: Writable },
): Promise<void> {
  const digest = digestIn(reference);
  const size = await findBlob(deps, reference, { signal });
  const source = new RegistrySource(await deps.registry.open(reference, { signal }));
  const descriptor = { mediaType: 'application/octet-stream', digest, size };
  const [reader] = new SharedRead(source.blob(descriptor), { readers: 1, signal }).readers();
  try {
    await pipeline(await reader!.blob.open({ signal, offset: 0 }), output, { signal });
  } finally {
    reader!.leave();
  }
}

/** Lists what refers to an image: signatures, SBOMs. Throws NotFoundError. */
export async function listImageReferrers(
  { registry }: Deps,
  reference: Reference,
  options: Abortable,
): Promise<readonly Descriptor[]> {
  const reader = await registry.open(reference, options);
  const digest = reference.digest ?? (await reader.resolve(tagOrDigest(reference), options)).digest;
  return (await reader.referrers(digest, options)).descriptors;
}

function digestIn(reference: Reference): Digest {
  if (reference.digest !== undefined) return reference.digest;
  throw new InvalidReferenceError(`${formatReference(reference)} names no blob: it has no digest`, {
    input: formatReference(reference),
    hint: 'write HOST/REPOSITORY@sha256:…',
  });
}
