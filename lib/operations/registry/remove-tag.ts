import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { RegistryError, NotFoundError } from '../../errors.js';
import type { RepositoryWriter } from '../../registry/index.js';
import { digestOf, MEDIA_TYPE, rawManifest, type RawManifest } from '../../spec/index.js';

/** Status codes of registries that do not support removing a single tag. */
const NO_TAG_DELETE: ReadonlySet<number> = new Set([400, 404, 405, 501]);
const EMPTY = Buffer.from('{}');

/**
 * Removes only the given tag. If a registry can only remove manifests with all their tags, and `isShared` reports other
 * tags of the same manifest, first moves the tag to a placeholder manifest. Throws RegistryError (deleting is not
 * allowed), AuthenticationError, TransportError, AbortError.
 */
export async function removeTag(
  writer: RepositoryWriter,
  options: {
    readonly tag: string;
    readonly manifest: RawManifest;
    readonly isShared: () => Promise<boolean>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { tag, manifest, isShared, signal } = options;
  const { digest } = manifest.descriptor;
  try {
    await writer.deleteManifest({ tag }, { signal });
    return;
  } catch (error) {
    const refused = error instanceof RegistryError && NO_TAG_DELETE.has(error.status);
    if (!refused && !(error instanceof NotFoundError)) throw error;
  }
  if (!(await isShared())) return remove(writer, { digest }, signal);
  const placeholder = await makePlaceholder(writer, signal);
  await writer.putManifest(placeholder, { tag }, { signal });
  try {
    await remove(writer, { digest: placeholder.descriptor.digest }, signal);
  } catch (error) {
    await writer.putManifest(manifest, { tag }, { signal });
    throw error;
  }
}

async function remove(
  writer: RepositoryWriter,
  reference: { readonly digest: RawManifest['descriptor']['digest'] },
  signal: AbortSignal,
): Promise<void> {
  try {
    await writer.deleteManifest(reference, { signal });
  } catch (error) {
    if (error instanceof RegistryError && error.status === 405) {
      throw new RegistryError(`${writer.host} does not allow tags of ${writer.repository} to be removed`, {
        ...{ status: error.status, method: error.method, url: error.url, diagnostics: error.diagnostics },
        hint: 'allow deletes in the configuration of the registry, or leave out --delete-extra',
        cause: error,
      });
    }
    // Another client has removed it.
    if (!(error instanceof NotFoundError)) throw error;
  }
}

/** A unique manifest with an empty blob. */
async function makePlaceholder(writer: RepositoryWriter, signal: AbortSignal): Promise<RawManifest> {
  const config = { mediaType: MEDIA_TYPE.ociEmpty, digest: digestOf(EMPTY), size: EMPTY.length };
  await writer.uploadBlob(
    { descriptor: config, open: () => Promise.resolve(Readable.from([EMPTY], { objectMode: false })) },
    { signal },
  );
  return rawManifest({
    ...{ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, artifactType: 'application/vnd.imgtool.removed' },
    ...{ config, layers: [config], annotations: { nonce: randomBytes(16).toString('hex') } },
  });
}
