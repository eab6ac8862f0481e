import { Readable } from 'node:stream';
import { AuthenticationError, ImgtoolError, RegistryError, SizeMismatchError, TransportError } from '../../errors.js';
import { isRetryableStatus, redactUrl, type BufferedResponse, type RequestBody } from '../../http/index.js';
import type { Digest } from '../../spec/index.js';
import { backoffMs, delay } from '../../util/index.js';
import type { UploadOptions, UploadSession, UploadSource } from '../types.js';
import { hasBlob } from './blobs.js';
import type { Place } from './manifests.js';
import { errorFrom, isForeign, notARegistry, type Asked } from './responses.js';
import { closingLocation, uploadedBytes, uploadLocation } from './upload-location.js';

/** Up to this a blob goes in one piece: to send it again costs less than to ask how far it came. Bytes. */
const WHOLE_BYTES = 4 * 1024 * 1024;
/** Proxies before registries take requests of 100 MB and more. Bytes. */
const CHUNK_BYTES = 64 * 1024 * 1024;
const LEAST_CHUNK_BYTES = 1024 * 1024;
const DEFAULT_RETRIES = 5;
/** More, and the registry is taken at its word: the bytes are not where they belong. */
const MAX_DISPUTES = 2;
/** How often a lost session is replaced by a new one. */
const MAX_ANEW = 3;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Answers about a session that mean it cannot be gone on with. */
const LOST: ReadonlySet<number> = new Set([400, 404, 405, 409, 410, 416, 501]);

/** POST that mounts a blob (distribution-spec, "Mounting a blob from another repository"). Throws as RepositoryWriter says. */
export async function mountBlob(
  place: Place,
  { digest, from, signal }: { readonly digest: Digest; readonly from: string; readonly signal: AbortSignal },
): Promise<{ mounted: boolean; session?: UploadSession }> {
  const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
  const response = await post(place, query, signal).catch((error: unknown) => {
    if (error instanceof AuthenticationError) return undefined;
    throw error;
  });
  if (response === undefined) return { mounted: false };
  if (response.status === 201) return { mounted: true };
  const asked = askedFor(place, 'POST', digest);
  if (response.status === 202) {
    const location = await uploadLocation(response, asked);
    return location === undefined ? { mounted: false } : { mounted: false, session: { location, offset: 0 } };
  }
  // A source that is not there or not ours to read is no reason to fail: the blob can be uploaded.
  if (response.status < 500 && response.status !== 429 && !isForeign(response)) return { mounted: false };
  throw errorFrom(response, asked);
}

/** Uploads a blob; see `RepositoryWriter.uploadBlob`. */
export async function uploadBlob(
  place: Place,
  source: UploadSource,
  options: UploadOptions & { readonly retries: number | undefined },
): Promise<void> {
  await new Upload(place, source, options).run();
}

/** DELETE of a session. Throws AbortError only. */
export async function cancelUpload(place: Place, { location }: UploadSession, signal: AbortSignal): Promise<void> {
  const { endpoint, scope } = place;
  try {
    await endpoint.request({ method: 'DELETE', path: location, scope, signal, retries: 0 }, MAX_ANSWER_BYTES);
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error;
  }
}

/** The registry has lost what was sent, for `reason`. */
class SessionLost extends Error {
  readonly reason: Error;
  constructor(reason: Error) {
    super(reason.message);
    this.reason = reason;
  }
}

/** The registry took a chunk and has no more than before. */
class NoProgress extends RegistryError {}

class Upload {
  readonly #place: Place;
  readonly #source: UploadSource;
  readonly #options: UploadOptions;
  readonly #retries: number;
  readonly #asked: Asked;
  #session: UploadSession | undefined;
  /** Whether `#session.offset` is what the registry has now. */
  #certain = false;
  /** A request that ends the upload is on its way or was answered by nobody knows what. */
  #closing = false;
  /** The most that the registry has had of this session. */
  #farthest = 0;
  /** How often, with nothing new there, the registry did not want what followed the bytes that it said to have. */
  #disputes = 0;
  #chunkBytes = CHUNK_BYTES;

  constructor(place: Place, source: UploadSource, options: UploadOptions & { readonly retries: number | undefined }) {
    this.#place = place;
    this.#source = source;
    this.#options = options;
    this.#retries = options.retries ?? DEFAULT_RETRIES;
    this.#asked = askedFor(place, 'PUT', source.descriptor.digest);
    this.#session = options.session;
    this.#certain = options.session !== undefined && options.sessionIsNew === true;
  }

  async run(): Promise<void> {
    const { signal, onRetry } = this.#options;
    let failures = 0;
    let anew = 0;
    for (;;) {
      const before = this.#farthest;
      try {
        const session = await this.#position();
        if (await this.#send(session)) {
          await this.#options.onSession?.(undefined);
          return;
        }
        if (this.#farthest > before) failures = 0;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SessionLost) {
          await this.#forget();
          const wrong = saysWrongDigest(error.reason);
          // The answer may have been lost, not the blob.
          if (this.#closing && !wrong && (await hasBlob(this.#place, this.#source.descriptor.digest, signal))) return;
          this.#closing = false;
          anew += wrong ? MAX_ANEW - 1 : 1;
          if (anew > MAX_ANEW) throw error.reason;
          onRetry?.(`${error.message}; starting over`);
          continue;
        }
        if (!mayPass(error)) throw error;
        failures = this.#farthest > before ? 1 : failures + 1;
        if (failures > this.#retries) throw error;
        this.#certain = false;
        onRetry?.(`${(error as Error).message}; going on`);
        await delay(backoffMs(failures), signal);
      }
    }
  }

  /** A session whose offset is certain: begun, or asked for how far it is. */
  async #position(): Promise<UploadSession> {
    if (this.#session !== undefined && !this.#certain) {
      const response = await this.#request('GET', this.#session.location);
      if (LOST.has(response.status)) throw new SessionLost(errorFrom(response, this.#asked));
      if (response.status >= 300) throw errorFrom(response, this.#asked);
      const offset = uploadedBytes(response);
      if (offset !== undefined && offset <= this.#source.descriptor.size) {
        const location = (await uploadLocation(response, this.#asked)) ?? this.#session.location;
        return this.#remember({ location, offset });
      }
      // Next to nothing is there, or what cannot be ours.
      await cancelUpload(this.#place, this.#session, this.#options.signal);
      this.#session = undefined;
      this.#farthest = 0;
    }
    if (this.#session !== undefined) return this.#session;
    const response = await post(this.#place, '', this.#options.signal);
    if (response.status !== 202) throw errorFrom(response, this.#asked);
    const location =
      (await uploadLocation(response, this.#asked)) ?? this.#fail(response, 'does not say where to upload to');
    const least = Number(response.headers['oci-chunk-min-length'] ?? 0);
    if (Number.isSafeInteger(least)) this.#chunkBytes = Math.max(this.#chunkBytes, least);
    return this.#remember({ location, offset: 0 });
  }

  /** Sends the next piece; true when the blob is complete at the registry. */
  async #send(session: UploadSession): Promise<boolean> {
    const { size, digest } = this.#source.descriptor;
    const whole = session.offset === 0 && size <= WHOLE_BYTES;
    if (whole || session.offset === size) {
      this.#closing = true;
      const length = size - session.offset;
      const response = await this.#request('PUT', closingLocation(session.location, digest), {
        offset: session.offset,
        length,
      });
      if (response.status === 201 || response.status === 204 || response.status === 200) return true;
      throw this.#refusal(response);
    }
    const length = Math.min(this.#chunkBytes, size - session.offset);
    const response = await this.#request('PATCH', session.location, { offset: session.offset, length });
    if (response.status === 413 && this.#chunkBytes > LEAST_CHUNK_BYTES) {
      this.#chunkBytes = Math.max(LEAST_CHUNK_BYTES, Math.floor(Math.min(length, this.#chunkBytes) / 4));
      this.#certain = false;
      return false;
    }
    if (response.status === 416 && session.offset > 0 && ++this.#disputes <= MAX_DISPUTES) {
      // What a broken connection had brought may have been stored only after it was asked: it has more by now.
      this.#certain = false;
      return false;
    }
    if (response.status !== 202 && response.status !== 201 && response.status !== 204) throw this.#refusal(response);
    const offset = uploadedBytes(response) ?? session.offset + length;
    if (offset > session.offset + length) this.#fail(response, `claims to have ${offset} bytes of it`);
    const location = (await uploadLocation(response, this.#asked)) ?? session.location;
    await this.#remember({ location, offset });
    if (offset <= session.offset) {
      throw new NoProgress(`${this.#asked.host} has taken nothing of what was sent: ${this.#asked.subject}`, {
        status: response.status,
        method: 'PATCH',
        url: redactUrl(response.url),
      });
    }
    return false;
  }

  #refusal(response: BufferedResponse): Error {
    const error = errorFrom(response, this.#asked);
    return LOST.has(response.status) && !isForeign(response) ? new SessionLost(error) : error;
  }

  async #remember(session: UploadSession): Promise<UploadSession> {
    this.#session = session;
    this.#certain = true;
    if (session.offset > this.#farthest) this.#disputes = 0;
    this.#farthest = Math.max(this.#farthest, session.offset);
    if (this.#source.descriptor.size > WHOLE_BYTES) await this.#options.onSession?.(session);
    return session;
  }

  async #forget(): Promise<void> {
    this.#session = undefined;
    this.#farthest = 0;
    await this.#options.onSession?.(undefined);
  }

  /** Sent once: what is sent twice may be appended twice. */
  async #request(
    method: 'GET' | 'PUT' | 'PATCH',
    location: string,
    piece?: { readonly offset: number; readonly length: number },
  ): Promise<BufferedResponse> {
    const { endpoint, scope } = this.#place;
    const { signal } = this.#options;
    const failure: { error?: unknown } = {};
    try {
      return await endpoint.request(
        {
          method,
          path: location,
          scope,
          signal,
          ...(method === 'GET' ? {} : { retries: 0 }),
          ...(piece === undefined ? {} : { headers: this.#headersOf(method, piece) }),
          ...(piece === undefined || piece.length === 0 ? {} : { body: this.#bodyOf(piece, failure) }),
        },
        MAX_ANSWER_BYTES,
      );
    } catch (error) {
      throw failure.error ?? error;
    }
  }

  #headersOf(method: string, { offset, length }: { offset: number; length: number }): Record<string, string> {
    const all = offset === 0 && length === this.#source.descriptor.size;
    return {
      'content-type': 'application/octet-stream',
      'content-length': String(length),
      ...(method === 'PATCH' && !all ? { 'content-range': `${offset}-${offset + length - 1}` } : {}),
    };
  }

  #bodyOf(piece: { offset: number; length: number }, failure: { error?: unknown }): RequestBody {
    return () =>
      Readable.from(
        piecesOf(this.#source, piece, this.#options, (error) => {
          failure.error = error;
        }),
        { objectMode: false },
      );
  }

  #fail(response: BufferedResponse, why: string): never {
    if (isForeign(response)) throw notARegistry(response, this.#asked);
    throw new RegistryError(`${this.#asked.host} ${why}: ${this.#asked.subject}`, {
      status: response.status,
      method: this.#asked.method,
      url: redactUrl(response.url),
    });
  }
}

/** `length` bytes of a source from `offset` on; what fails is told to `onError`, as HTTP makes another error of it. */
async function* piecesOf(
  source: UploadSource,
  { offset, length }: { offset: number; length: number },
  { signal, onProgress }: UploadOptions,
  onError: (error: unknown) => void,
): AsyncGenerator<Buffer> {
  let left = length;
  let failing = true;
  try {
    const stream = await source.open({ signal, offset });
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const piece = chunk.subarray(0, left);
        left -= piece.length;
        onProgress?.(offset + length - left);
        failing = false;
        yield piece;
        failing = true;
        if (left === 0) return;
      }
    } finally {
      stream.destroy();
    }
    const { digest, size } = source.descriptor;
    const actual = offset + length - left;
    throw new SizeMismatchError(`blob ${digest} has ${actual} bytes, not ${size}`, { expected: size, actual });
  } catch (error) {
    // What breaks the loop from outside is the connection's failure.
    if (failing) onError(error);
    throw error;
  }
}

/** The registry got other bytes than were meant: once may be an accident on the way. */
function saysWrongDigest(error: Error): boolean {
  return error instanceof RegistryError && error.diagnostics.some(({ code }) => code === 'DIGEST_INVALID');
}

function mayPass(error: unknown): boolean {
  if (error instanceof TransportError) return error.phase !== 'tls';
  if (error instanceof NoProgress) return true;
  return error instanceof RegistryError && isRetryableStatus(error.status);
}

function post({ endpoint, repository, scope }: Place, query: string, signal: AbortSignal): Promise<BufferedResponse> {
  const path = `/v2/${repository}/blobs/uploads/${query}`;
  return endpoint.request({ method: 'POST', path, scope, signal }, MAX_ANSWER_BYTES);
}

function askedFor({ endpoint, repository }: Place, method: string, digest: Digest): Asked {
  return { method, host: endpoint.host, repository, kind: 'repository', subject: `${repository}@${digest}` };
}
