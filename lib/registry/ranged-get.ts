import { isRetryableStatus, type HostFacts, type StreamedResponse } from '../http/index.js';

/** A piece of a resource. Bytes. */
export interface Piece {
  readonly offset: number;
  /** Default: everything from `offset` on. */
  readonly length?: number | undefined;
  readonly signal: AbortSignal;
}

type Send = (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<StreamedResponse>;

const STRONG_TAG = /^"[\x21\x23-\x7e]{1,512}"$/;

/**
 * Reads a resource of known size in pieces. Requests a range only while the resource is unchanged (`If-Range`, RFC
 * 9110, 13.1.5), and the whole when the server's version has changed or the server refuses the range. A host that
 * refused a range gets no further range requests.
 */
export class RangedGet {
  readonly #send: Send;
  readonly #size: number;
  readonly #facts: HostFacts;
  #tag: string | undefined;
  /** Servers behind one name may have different ETags for the same bytes; ETags are ignored then. */
  #tagsDiffer = false;

  /** `send` sends the request to the host of `facts` with additional headers. `size` is in bytes. */
  constructor(size: number, facts: HostFacts, send: Send) {
    this.#size = size;
    this.#facts = facts;
    this.#send = send;
  }

  /** Resolves with any response: status 206 starts at `offset`, status 200 at the beginning. */
  async get({ offset, length, signal }: Piece): Promise<StreamedResponse> {
    if ((offset === 0 && length === undefined) || this.#facts.refusesRanges === true) return this.#whole(signal);
    const tag = offset > 0 && !this.#tagsDiffer ? this.#tag : undefined;
    const range = `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`;
    const response = await this.#send({ range, ...(tag === undefined ? {} : { 'if-range': tag }) }, signal);
    const { status } = response;
    const changed = status === 206 && this.#isOther(response, offset);
    if (changed || status === 412 || status === 416) {
      // The resource has changed, or it has no such piece.
      response.body.destroy();
      return this.#whole(signal);
    }
    if (isRefused(response, offset)) {
      response.body.destroy();
      const whole = await this.#whole(signal);
      if (whole.status === 200) this.#facts.refusesRanges = true;
      return whole;
    }
    if (status === 200 && tag !== undefined) this.#tagsDiffer = true;
    return this.#noted(response);
  }

  async #whole(signal: AbortSignal): Promise<StreamedResponse> {
    return this.#noted(await this.#send({}, signal));
  }

  /** True when the response is a piece of a different version. */
  #isOther({ headers }: StreamedResponse, offset: number): boolean {
    const total = /^bytes \d+-\d+\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1];
    if (total !== undefined && Number(total) !== this.#size) return true;
    const tag = strongTag(headers.etag);
    if (offset === 0 || this.#tagsDiffer || tag === undefined || this.#tag === undefined) return false;
    this.#tagsDiffer = tag !== this.#tag;
    return this.#tagsDiffer;
  }

  #noted(response: StreamedResponse): StreamedResponse {
    if (response.status === 200 || response.status === 206) this.#tag = strongTag(response.headers.etag);
    return response;
  }
}

/** Some registries, storage services and caches refuse ranges with an arbitrary status, or send a different range. */
function isRefused({ status, headers }: StreamedResponse, offset: number): boolean {
  if (status !== 206) return status >= 400 && (status === 500 || !isRetryableStatus(status));
  const from = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(headers['content-range'] ?? '')?.[1];
  return from === undefined || Number(from) !== offset;
}

function strongTag(tag: string | undefined): string | undefined {
  return tag !== undefined && STRONG_TAG.test(tag) ? tag : undefined;
}
