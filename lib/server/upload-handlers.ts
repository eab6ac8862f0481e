import { DigestMismatchError, SizeMismatchError } from '../errors.js';
import type { Digest } from '../spec/index.js';
import { parseContentRange } from './byte-range.js';
import type { Exchange } from './exchange.js';
import { RequestError } from './request-error.js';
import { digestIn, repositoryNamed } from './route.js';
import type { BlobUpload, UploadTurn } from './types.js';

/** POST: mounts a blob, receives a complete one, or opens a session (distribution-spec, "Pushing blobs", "Mounting a blob"). */
export async function startUpload(exchange: Exchange, repository: string): Promise<void> {
  const { writer, query } = exchange;
  const [mount, from, whole] = [query.get('mount'), query.get('from'), query.get('digest')];
  if (mount !== null) {
    const digest = digestIn(mount);
    const source = from === null || from === '' ? undefined : repositoryNamed(from);
    if (await writer.mountBlob(repository, digest, source)) return created(exchange, repository, digest);
  } else if (whole !== null) {
    const digest = digestIn(whole);
    const upload = await writer.startUpload(repository);
    return withTurn(exchange, upload, async (turn) => {
      try {
        await turn.append(exchange.body());
      } catch (error) {
        // The client does not know the session, so it can never be resumed.
        await turn.cancel();
        throw error;
      }
      await commit(exchange, turn, digest);
      created(exchange, repository, digest);
    });
  }
  const upload = await writer.startUpload(repository);
  exchange.answer(202, { ...sessionHeaders(repository, upload.id, 0) });
}

/** GET: the offset of a session (distribution-spec, "Pushing a blob in chunks"). */
export async function getUpload(exchange: Exchange, repository: string, id: string): Promise<void> {
  const upload = await findUpload(exchange, repository, id);
  exchange.answer(204, sessionHeaders(repository, id, upload.offset));
}

/** PATCH: appends a chunk, checked against Content-Range, or a whole stream without one. */
export async function patchUpload(exchange: Exchange, repository: string, id: string): Promise<void> {
  const upload = await findUpload(exchange, repository, id);
  await withTurn(exchange, upload, async (turn) => {
    await appendBody(exchange, turn, sessionHeaders(repository, id, turn.offset));
    exchange.answer(202, sessionHeaders(repository, id, turn.offset));
  });
}

/** PUT: appends the last chunk, if any, and publishes the blob. */
export async function finishUpload(exchange: Exchange, repository: string, id: string): Promise<void> {
  const digest = digestIn(exchange.query.get('digest') ?? '');
  const upload = await findUpload(exchange, repository, id);
  await withTurn(exchange, upload, async (turn) => {
    if (exchange.hasBody) await appendBody(exchange, turn, sessionHeaders(repository, id, turn.offset));
    await commit(exchange, turn, digest);
    created(exchange, repository, digest);
  });
}

/** DELETE: ends a session. */
export async function cancelUpload(exchange: Exchange, repository: string, id: string): Promise<void> {
  const upload = await findUpload(exchange, repository, id);
  await withTurn(exchange, upload, async (turn) => {
    await turn.cancel();
    exchange.answer(204, {});
  });
}

async function findUpload(exchange: Exchange, repository: string, id: string): Promise<BlobUpload> {
  return (await exchange.writer.findUpload(repository, id)) ?? unknownUpload();
}

/** Holds the session while `work` runs; a newer request interrupts it. */
async function withTurn(
  exchange: Exchange,
  upload: BlobUpload,
  work: (turn: UploadTurn) => Promise<void>,
): Promise<void> {
  const turn = (await upload.acquire()) ?? unknownUpload();
  const cutOff = (): void => void exchange.request.destroy();
  turn.signal.addEventListener('abort', cutOff);
  try {
    await work(turn);
  } finally {
    turn.signal.removeEventListener('abort', cutOff);
    turn.release();
  }
}

async function appendBody(
  exchange: Exchange,
  turn: UploadTurn,
  session: Readonly<Record<string, string>>,
): Promise<void> {
  const header = exchange.request.headers['content-range'];
  if (header === undefined) return turn.append(exchange.body());
  const range = parseContentRange(header);
  if (range === undefined) throw new RequestError(400, 'BLOB_UPLOAD_INVALID', 'Content-Range is not <start>-<end>');
  if (range.start !== turn.offset) {
    throw new RequestError(416, 'BLOB_UPLOAD_INVALID', `the next byte is number ${turn.offset}`, { headers: session });
  }
  const wrongLengthError = (actual: number): RequestError =>
    new RequestError(400, 'SIZE_INVALID', `Content-Range announces ${range.length} bytes, the body has ${actual}`);
  const { contentLength } = exchange;
  if (contentLength !== undefined && contentLength !== range.length) throw wrongLengthError(contentLength);
  try {
    await turn.append(exchange.body(), { limit: range.length });
  } catch (error) {
    if (error instanceof SizeMismatchError) throw wrongLengthError(error.actual);
    throw error;
  }
  const appended = turn.offset - range.start;
  if (appended !== range.length) throw wrongLengthError(appended);
}

async function commit(exchange: Exchange, turn: UploadTurn, digest: Digest): Promise<void> {
  // Hashing and syncing a large blob leaves the connection silent, but not idle.
  exchange.request.socket.setTimeout(0);
  try {
    await turn.commit(digest);
  } catch (error) {
    if (!(error instanceof DigestMismatchError)) throw error;
    const { expected, actual } = error;
    throw new RequestError(400, 'DIGEST_INVALID', error.message, { detail: { expected, actual }, cause: error });
  }
}

function created(exchange: Exchange, repository: string, digest: Digest): void {
  exchange.answer(201, { Location: `/v2/${repository}/blobs/${digest}`, 'Docker-Content-Digest': digest });
}

/** An empty session is `0-0` as in distribution, because old clients require two numbers. */
function sessionHeaders(repository: string, id: string, offset: number): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${id}`,
    Range: `0-${Math.max(0, offset - 1)}`,
    'Docker-Upload-UUID': id,
  };
}

function unknownUpload(): never {
  throw new RequestError(404, 'BLOB_UPLOAD_UNKNOWN', 'upload session unknown to registry');
}
