import { createHash } from 'node:crypto';
import { DigestMismatchError, RegistryError } from '../../errors.js';
import type { UploadRecord } from '../../metadata/index.js';
import type { RepositoryWriter, UploadSession } from '../../registry/index.js';
import { isKeptElsewhere, type Descriptor } from '../../spec/index.js';
import { foreignLayerNote, MAX_MOUNT_SOURCES } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import { type BlobPlaces, storedBlob } from '../download/index.js';
import { isUnwritable } from '../store/index.js';

/** What became of a blob in a push: it was there, came from another repository, was sent, or is kept elsewhere on purpose. */
export type PushedState = 'present' | 'mounted' | 'uploaded' | 'skipped';

/** What pushing a blob needs. */
export type PushBlobDeps = Pick<OperationDeps, 'content' | 'metadata' | 'registry' | 'progress'>;

/**
 * Brings a blob to a repository with the least that does it: it is there, it is mounted, it is uploaded (from where an
 * earlier run stopped). Two processes never upload the same blob to the same place. Throws what the registry throws,
 * NotFoundError when the blob is nowhere, DigestMismatchError when it is damaged here.
 */
export async function pushBlob(
  deps: PushBlobDeps,
  writer: RepositoryWriter,
  { blob, places, signal }: { readonly blob: Descriptor; readonly places: BlobPlaces; readonly signal: AbortSignal },
): Promise<PushedState> {
  const { digest, size: total } = blob;
  const event = (state: 'waiting' | 'skipped' | 'mounted' | 'active' | 'retrying' | 'done', more: object = {}): void =>
    deps.progress.event({ v: 1, kind: 'blob', action: 'upload', digest, state, total, ...more });
  if (isKeptElsewhere(blob)) {
    if (await writer.hasBlob(digest, { signal })) return 'present';
    deps.progress.note(foreignLayerNote(blob));
    return 'skipped';
  }
  const key = uploadKey(writer, blob);
  const lock = await deps.metadata.lock(`upload-${key}`, {
    mode: 'exclusive',
    signal,
    onWait: () => event('waiting'),
  });
  try {
    const [earlier, isThere] = await Promise.all([deps.metadata.uploads.get(key), writer.hasBlob(digest, { signal })]);
    if (isThere) {
      // Its writer may have died between the last answer and this.
      if (earlier !== undefined) await deps.metadata.uploads.delete(key);
      event('skipped');
      return 'present';
    }
    const mount = await mountFromAny(writer, blob, { places, signal, keepSession: earlier === undefined });
    if (mount.mounted) {
      if (earlier !== undefined) await deps.metadata.uploads.delete(key);
      event('mounted');
      return 'mounted';
    }
    await writer.uploadBlob(await storedBlob(deps, blob, places), {
      signal,
      session: earlier ?? mount.session,
      sessionIsNew: earlier === undefined,
      onSession: (session) => remember(deps, { key, writer, blob, session, begun: earlier?.begun }),
      onProgress: (transferred) => event('active', { transferred }),
      onRetry: (message) => event('retrying', { message }),
    });
    event('done', { transferred: total });
    return 'uploaded';
  } catch (error) {
    if (saysWrongDigest(error)) await expectIntact(deps, blob, signal);
    throw error;
  } finally {
    lock.release();
  }
}

async function mountFromAny(
  writer: RepositoryWriter,
  blob: Descriptor,
  options: { readonly places: BlobPlaces; readonly signal: AbortSignal; readonly keepSession: boolean },
): Promise<{ mounted: boolean; session?: UploadSession | undefined }> {
  const { places, signal, keepSession } = options;
  let session: UploadSession | undefined;
  for (const from of places.mountable(blob, writer, MAX_MOUNT_SOURCES)) {
    const result = await writer.mountBlob(blob.digest, from, { signal });
    if (session !== undefined) await writer.cancelUpload(session, { signal });
    if (result.mounted) return { mounted: true };
    session = result.session;
  }
  if (session === undefined || keepSession) return { mounted: false, session };
  await writer.cancelUpload(session, { signal });
  return { mounted: false };
}

async function remember(
  { metadata, progress }: PushBlobDeps,
  upload: {
    readonly key: string;
    readonly writer: RepositoryWriter;
    readonly blob: Descriptor;
    readonly session: UploadSession | undefined;
    readonly begun: string | undefined;
  },
): Promise<void> {
  const { key, writer, blob, session, begun = new Date().toISOString() } = upload;
  const { host, repository } = writer;
  try {
    if (session === undefined) return await metadata.uploads.delete(key);
    const record: UploadRecord = { version: 1, key, host, repository, digest: blob.digest, ...session, begun };
    await metadata.uploads.put(key, record);
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    progress.note(`the store cannot note how far the upload of ${blob.digest} is: it cannot be resumed`);
  }
}

function uploadKey({ host, repository }: RepositoryWriter, { digest }: Descriptor): string {
  return createHash('sha256').update(`${host}/${repository}@${digest}`).digest('hex');
}

function saysWrongDigest(error: unknown): boolean {
  return error instanceof RegistryError && error.diagnostics.some(({ code }) => code === 'DIGEST_INVALID');
}

/** A registry that refuses bytes may be right. Throws DigestMismatchError when the blob is damaged here. */
async function expectIntact({ content }: PushBlobDeps, { digest }: Descriptor, signal: AbortSignal): Promise<void> {
  try {
    for await (const _chunk of await content.open(digest, { signal }));
  } catch (error) {
    if (error instanceof DigestMismatchError) throw error;
  }
}
