import { isRetryableStatus, type HostFacts, type StreamedResponse } from '../http/index.js';

/** What is asked for of something that is read in pieces. Bytes. */
export interface Piece {
  readonly offset: number;
  /** Default: all the rest. */
  readonly length?: number | undefined;
  readonly signal: AbortSignal;
}

type Send = (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<StreamedResponse>;

const STRONG_TAG = /^"[\x21\x23-\x7e]{1,512}"$/;

/**
 * Reads one thing of known size in pieces, as a server gives them: asks for a range only as long as it is of what came before
 * (`If-Range`, RFC 9110, 13.1.5), and for the whole where the server has another thing by now or does not like the range.
 * A host that likes no ranges is not asked for any more.
 */
export class RangedGet {
  readonly #send: Send;
  readonly #size: number;
  readonly #facts: HostFacts;
  #tag: string | undefined;
  /** The servers behind one name may tag the same bytes differently: then the tags are of no use. */
  #tagsDiffer = false;

  /** `send`: makes the request to the host of `facts` with further headers. `size` in bytes. */
  constructor(size: number, facts: HostFacts, send: Send) {
    this.#size = size;
    this.#facts = facts;
    this.#send = send;
  }

  /** The answer, whatever it is: with status 206 it begins at `offset`, with 200 at the start. */
  async get({ offset, length, signal }: Piece): Promise<StreamedResponse> {
    if ((offset === 0 && length === undefined) || this.#facts.refusesRanges === true) return this.#whole(signal);
    const tag = offset > 0 && !this.#tagsDiffer ? this.#tag : undefined;
    const range = `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`;
    const response = await this.#send({ range, ...(tag === undefined ? {} : { 'if-range': tag }) }, signal);
    const { status } = response;
    const changed = status === 206 && this.#isOther(response, offset);
    if (changed || status === 412 || status === 416) {
      // What we hold is not its beginning any more, or there is no such piece.
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

  /** Whether a piece is of something else than what came before. */
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

/** Some registries, storages and caches refuse ranges with any status, or send another one than was asked for. */
function isRefused({ status, headers }: StreamedResponse, offset: number): boolean {
  if (status !== 206) return status >= 400 && (status === 500 || !isRetryableStatus(status));
  const from = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(headers['content-range'] ?? '')?.[1];
  return from === undefined || Number(from) !== offset;
}

function strongTag(tag: string | undefined): string | undefined {
  return tag !== undefined && STRONG_TAG.test(tag) ? tag : undefined;
}
