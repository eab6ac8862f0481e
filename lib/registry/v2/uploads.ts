import type { Readable } from 'node:stream';
import { AuthenticationError, ImgtoolError, RegistryError, TransportError } from '../../errors.js';
import { isRetryableStatus, redactUrl, type BufferedResponse } from '../../http/index.js';
import type { Digest } from '../../spec/index.js';
import { backoffMs, delay } from '../../util/index.js';
import type { UploadOptions, UploadSession, UploadSource } from '../types.js';
import { hasBlob } from './blobs.js';
import type { Place } from './manifests.js';
import { responseError, isForeign, notARegistryError, type Asked } from './responses.js';
import { closingLocation, uploadedBytes, uploadLocation } from './upload-location.js';
import { pieceStream, type UploadPiece } from './upload-pieces.js';
import { UploadWays, WHOLE_BYTES } from './upload-ways.js';

const DEFAULT_RETRIES = 5;
/** How often the registry's reported offset is asked for again after it refuses the bytes that follow. */
const MAX_DISPUTES = 2;
/** How often a lost session is replaced by a new one. */
const MAX_NEW_SESSIONS = 3;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Responses after which a session cannot be resumed. */
const LOST: ReadonlySet<number> = new Set([400, 404, 405, 409, 410, 416, 501]);
/** Responses that say that the session no longer exists. */
const GONE: ReadonlySet<number> = new Set([404, 410]);
/** Responses to an accepted PATCH; the specification uses 202. */
const TAKEN: ReadonlySet<number> = new Set([200, 201, 202, 204]);

/** POST that mounts a blob (distribution-spec, "Mounting a blob from another repository"). Throws as RepositoryWriter does. */
export async function mountBlob(
  place: Place,
  { digest, from, signal }: { readonly digest: Digest; readonly from: string; readonly signal: AbortSignal },
): Promise<{ mounted: boolean; session?: UploadSession }> {
  const { refusedMounts, oneScopeTokens } = place.endpoint.facts;
  const pair = `${place.repository} ${from}`;
  if (oneScopeTokens === true || refusedMounts.has(pair)) return { mounted: false };
  const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
  const response = await post(place, query, signal).catch((error: unknown) => {
    if (error instanceof AuthenticationError) return undefined;
    throw error;
  });
  if (response === undefined || response.status === 403) {
    refusedMounts.add(pair);
    return { mounted: false };
  }
  if (response.status === 201) return { mounted: true };
  const asked = askedFor(place, 'POST', digest);
  if (response.status === 202) {
    const location = await uploadLocation(response, asked);
    return location === undefined ? { mounted: false } : { mounted: false, session: { location, offset: 0 } };
  }
  // A missing or unreadable source is not an error: the blob can be uploaded.
  if (response.status < 500 && response.status !== 429 && !isForeign(response)) return { mounted: false };
  throw responseError(response, asked);
}

/** Uploads a blob; see `RepositoryWriter.uploadBlob`. */
export async function uploadBlob(
  place: Place,
  source: UploadSource,
  options: UploadOptions & { readonly retries: number | undefined },
): Promise<void> {
  await new Upload(place, source, options).run();
}

/** DELETE of a session. Throws only AbortError. */
export async function cancelUpload(place: Place, { location }: UploadSession, signal: AbortSignal): Promise<void> {
  const { endpoint, scope } = place;
  try {
    await endpoint.request({ method: 'DELETE', path: location, scope, signal, retries: 0 }, MAX_ANSWER_BYTES);
  } catch (error) {
    if (!(error instanceof ImgtoolError)) throw error;
  }
}

/** The registry has lost the bytes sent, for `reason`. `refused`: it may have rejected the upload method. */
class SessionLost extends Error {
  readonly reason: Error;
  readonly refused: boolean;
  constructor(reason: Error, { refused = false } = {}) {
    super(reason.message);
    this.reason = reason;
    this.refused = refused;
  }
}

class Upload {
  readonly #place: Place;
  readonly #source: UploadSource;
  readonly #options: UploadOptions;
  readonly #retries: number;
  readonly #asked: Asked;
  readonly #ways: UploadWays;
  #session: UploadSession | undefined;
  /** True when `#session.offset` is the registry's current offset. */
  #certain = false;
  /** A request that completes the upload was sent, and its outcome is unknown. */
  #closing = false;
  /** The largest offset that the registry has reported for this session. */
  #farthest = 0;
  /** How often the registry refused the bytes that follow its own offset, without any progress. */
  #disputes = 0;
  /** True when a session with bytes in it has been lost before. */
  #wasGone = false;

  constructor(place: Place, source: UploadSource, options: UploadOptions & { readonly retries: number | undefined }) {
    this.#place = place;
    this.#source = source;
    this.#options = options;
    this.#retries = options.retries ?? DEFAULT_RETRIES;
    // The registry opened the session, so a later page comes from a proxy.
    this.#asked = { ...askedFor(place, 'PUT', source.descriptor.digest), isRegistry: true };
    this.#ways = new UploadWays(place.endpoint.facts, source.descriptor.size);
    this.#session = options.session;
    this.#certain = options.session !== undefined && options.sessionIsNew === true;
  }

  async run(): Promise<void> {
    const { signal, onRetry } = this.#options;
    let failures = 0;
    let newSessions = 0;
    for (;;) {
      const before = this.#farthest;
      try {
        const session = await this.#position();
        if (await this.#send(session)) {
          this.#ways.succeeded();
          await this.#options.onSession?.(undefined);
          return;
        }
        if (this.#farthest > before) failures = 0;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SessionLost) {
          await this.#forget();
          const wrong = saysWrongDigest(error.reason);
          // Perhaps only the response was lost, not the blob.
          if (this.#closing && !wrong && (await hasBlob(this.#place, this.#source.descriptor.digest, signal))) return;
          this.#closing = false;
          if (error.refused) this.#ways.refuseCurrent();
          newSessions += wrong ? MAX_NEW_SESSIONS - 1 : 1;
          if (newSessions > MAX_NEW_SESSIONS) throw error.reason;
          onRetry?.(`${error.message}; starting over`);
          continue;
        }
        if (!mayPass(error)) throw error;
        failures = this.#farthest > before ? 1 : failures + 1;
        if (failures > this.#retries) throw error;
        this.#certain = false;
        onRetry?.(`${(error as Error).message}; resuming`);
        await delay(backoffMs(failures), signal);
      }
    }
  }

  /** A session with a certain offset: a new one, or one whose offset was requested. */
  async #position(): Promise<UploadSession> {
    if (this.#session !== undefined && !this.#certain) {
      const response = await this.#request('GET', this.#session.location);
      if (LOST.has(response.status)) throw new SessionLost(responseError(response, this.#asked));
      if (response.status >= 300) throw responseError(response, this.#asked);
      const offset = uploadedBytes(response);
      const { size } = this.#source.descriptor;
      if (offset === size || (offset !== undefined && offset < size && this.#ways.current === 'chunks')) {
        return this.#remember({
          location: (await uploadLocation(response, this.#asked)) ?? this.#session.location,
          offset,
        });
      }
      // The session holds next to nothing, holds foreign bytes, or cannot be continued.
      await cancelUpload(this.#place, this.#session, this.#options.signal);
      this.#session = undefined;
      this.#farthest = 0;
    }
    if (this.#session !== undefined) return this.#session;
    this.#ways.begin();
    const response = await post(this.#place, '', this.#options.signal);
    if (response.status !== 202) throw responseError(response, { ...this.#asked, isRegistry: false });
    const location = (await uploadLocation(response, this.#asked)) ?? this.#fail(response, 'names no upload location');
    const least = Number(response.headers['oci-chunk-min-length'] ?? 0);
    if (Number.isSafeInteger(least)) this.#ways.atLeast(least);
    return this.#remember({ location, offset: 0 });
  }

  /** Sends the next piece. Resolves with true when the blob is complete at the registry. */
  async #send(session: UploadSession): Promise<boolean> {
    const { size, digest } = this.#source.descriptor;
    const way = this.#ways.current;
    if (session.offset === size || way === 'put') {
      this.#closing = true;
      const piece = { offset: session.offset, length: size - session.offset };
      const response = await this.#request('PUT', closingLocation(session.location, digest), piece);
      if (response.status === 201 || response.status === 204 || response.status === 200) return true;
      if (response.status === 413) return this.#shorten(response, piece.length);
      throw this.#refusedError(response, session);
    }
    const length = way === 'patch' ? size : Math.min(this.#ways.chunkBytes, size - session.offset);
    const response = await this.#request('PATCH', session.location, { offset: session.offset, length });
    if (response.status === 413) return this.#shorten(response, length);
    if (response.status === 416 && session.offset > 0 && ++this.#disputes <= MAX_DISPUTES) {
      // Bytes of a broken connection may have been stored after the offset was requested.
      this.#certain = false;
      return false;
    }
    if (!TAKEN.has(response.status)) throw this.#refusedError(response, session);
    if (response.status === 200 && isForeign(response)) throw notARegistryError(response, this.#asked);
    // For a blob sent in one piece, the final response is more reliable than the range.
    const offset = way === 'patch' ? size : (uploadedBytes(response) ?? session.offset + length);
    if (offset > session.offset + length) this.#fail(response, `claims to have ${offset} bytes of it`);
    const next = { location: (await uploadLocation(response, this.#asked)) ?? session.location, offset };
    await this.#remember(next);
    if (offset > session.offset) return false;
    await cancelUpload(this.#place, next, this.#options.signal);
    throw new SessionLost(this.#uploadError(response, 'has accepted none of the data'), { refused: true });
  }

  /** The body was too large: tries smaller ones next. Throws RegistryError when none are left. */
  #shorten(response: BufferedResponse, length: number): false {
    if (!this.#ways.shrink(length)) throw responseError(response, { ...this.#asked, sentBytes: length });
    this.#certain = false;
    return false;
  }

  #refusedError(response: BufferedResponse, { offset }: UploadSession): Error {
    const error = responseError(response, this.#asked);
    if (!LOST.has(response.status)) return error;
    if (saysWrongDigest(error)) return new SessionLost(error, { refused: this.#farthest > this.#ways.chunkBytes });
    // A session that had accepted bytes may really have expired. If the next one is lost too, the upload method is the cause.
    const isGone = GONE.has(response.status) && offset > 0 && !this.#wasGone;
    this.#wasGone ||= isGone;
    return new SessionLost(error, { refused: !isGone });
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

  /** Sends a request once, because the registry might append repeated bytes twice. */
  async #request(method: 'GET' | 'PUT' | 'PATCH', location: string, piece?: UploadPiece): Promise<BufferedResponse> {
    const { endpoint, scope } = this.#place;
    const { signal } = this.#options;
    const failure: { error?: unknown } = {};
    const onError = (error: unknown): void => void (failure.error = error);
    const body = (): Readable => pieceStream(this.#source, piece!, { ...this.#options, onError });
    try {
      return await endpoint.request(
        {
          method,
          path: location,
          scope,
          signal,
          ...(method === 'GET' ? {} : { retries: 0 }),
          ...(piece === undefined ? {} : { headers: this.#headersOf(method, piece) }),
          ...(piece === undefined || piece.length === 0 ? {} : { body }),
        },
        MAX_ANSWER_BYTES,
      );
    } catch (error) {
      throw failure.error ?? error;
    }
  }

  #headersOf(method: string, { offset, length }: UploadPiece): Record<string, string> {
    const all = offset === 0 && length === this.#source.descriptor.size;
    return {
      'content-type': 'application/octet-stream',
      'content-length': String(length),
      ...(method === 'PATCH' && !all ? { 'content-range': `${offset}-${offset + length - 1}` } : {}),
    };
  }

  #fail(response: BufferedResponse, why: string): never {
    if (isForeign(response)) throw notARegistryError(response, this.#asked);
    throw this.#uploadError(response, why);
  }

  #uploadError({ status, url }: BufferedResponse, why: string): RegistryError {
    const { host, subject, method } = this.#asked;
    return new RegistryError(`${host} ${why}: ${subject}`, { status, method, url: redactUrl(url) });
  }
}

/** True when the registry received wrong bytes, which may be a transmission error if it happens once. */
function saysWrongDigest(error: Error): boolean {
  return error instanceof RegistryError && error.diagnostics.some(({ code }) => code === 'DIGEST_INVALID');
}

function mayPass(error: unknown): boolean {
  if (error instanceof TransportError) return error.phase !== 'tls';
  return error instanceof RegistryError && isRetryableStatus(error.status);
}

function post({ endpoint, repository, scope }: Place, query: string, signal: AbortSignal): Promise<BufferedResponse> {
  const path = `/v2/${repository}/blobs/uploads/${query}`;
  return endpoint.request({ method: 'POST', path, scope, signal, needsSources: query !== '' }, MAX_ANSWER_BYTES);
}

function askedFor({ endpoint, repository }: Place, method: string, digest: Digest): Asked {
  return { method, host: endpoint.host, repository, kind: 'repository', subject: `${repository}@${digest}` };
}
