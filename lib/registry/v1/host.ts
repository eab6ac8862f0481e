import { RegistryError, TransportError } from '../../errors.js';
import { redactUrl, type HttpClient, type HttpHeaders } from '../../http/index.js';
import { baseMediaType } from '../../spec/index.js';
import { candidateOrigins } from '../candidate-origins.js';
import { CookieJar } from './cookie-jar.js';

/** User name and password for one host. */
export interface V1Credentials {
  readonly username: string;
  readonly password: string;
}

/** Settings shared by the parts of the v1 client. */
export interface V1HostOptions {
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  /** For layers; its per-host limit is the limit of concurrent transfers. */
  readonly transfers: HttpClient;
  /** For documents, which so need not wait for layers. */
  readonly documents: HttpClient;
  /** False accepts any certificate, and plain HTTP when HTTPS does not answer. */
  readonly tlsVerify: boolean;
  readonly credentials: (request: {
    readonly repository?: string;
    readonly signal: AbortSignal;
  }) => Promise<V1Credentials | undefined>;
  /** Delay before the first retry; it doubles with each further one. Milliseconds. */
  readonly backoffBaseMs: number | undefined;
}

const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_INDEX = 'index.docker.io';
const MAX_PING_BYTES = 64 * 1024;
/**
 * Servers before and after 0.9 derive the kind of checksum from the Docker version in this header (docker-registry
 * toolkit.py DockerVersion).
 */
export const V1_USER_AGENT = 'docker/1.12.0 imgtool';

/** A host that speaks or may speak protocol v1. Holds its origin and its cookies. */
export class V1Host {
  readonly options: V1HostOptions;
  readonly cookies = new CookieJar();
  readonly #candidates: readonly string[];
  #base: Promise<string> | undefined;

  constructor(options: V1HostOptions) {
    this.options = options;
    const api = options.host === DOCKER_HUB ? DOCKER_HUB_INDEX : options.host;
    this.#candidates = candidateOrigins(api, options.tlsVerify);
  }

  /**
   * The origin of the index, without a trailing slash. Sends nothing when only one scheme is possible. Throws
   * TransportError, and RegistryError when no v1 registry answers there.
   */
  base(signal: AbortSignal): Promise<string> {
    this.#base ??= (this.#candidates.length === 1 ? Promise.resolve(this.#candidates[0]!) : this.#find(signal)).catch(
      (error: unknown) => {
        this.#base = undefined;
        throw error;
      },
    );
    return this.#base;
  }

  /**
   * True when the host answers `GET /v1/_ping` like a v1 registry and `GET /v2/` not like a v2 one; undefined when it does
   * not answer at all. Throws AbortError.
   */
  async isV1(signal: AbortSignal): Promise<boolean | undefined> {
    let answer: false | undefined;
    for (const base of this.#candidates) {
      try {
        const { status, headers } = await this.#get(`${base}/v2/`, signal);
        if ((status === 200 || status === 401) && /^registry\/2/.test(text(headers, 'docker-distribution-api-version')))
          return false;
        // Token services came with v2.
        if (status === 401 && /^bearer\b/i.test(text(headers, 'www-authenticate'))) return false;
        if (await this.#pings(base, signal)) {
          this.#base = Promise.resolve(base);
          return true;
        }
        answer = false;
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
      }
    }
    return answer;
  }

  async #find(signal: AbortSignal): Promise<string> {
    let first: TransportError | undefined;
    let answered = false;
    for (const base of this.#candidates) {
      try {
        if (await this.#pings(base, signal)) return base;
        answered = true;
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        first ??= error;
      }
    }
    if (first !== undefined && !answered) throw first;
    const url = `${this.#candidates[0]}/v1/_ping`;
    throw new RegistryError(`${this.options.host} does not speak registry protocol v1`, {
      status: 404,
      method: 'GET',
      url: redactUrl(url),
      hint: 'leave out --registry-version 1 and docker-v1://',
    });
  }

  /** Servers answer with JSON or text; an HTML page means another kind of server. */
  async #pings(base: string, signal: AbortSignal): Promise<boolean> {
    const { status, headers } = await this.#get(`${base}/v1/_ping`, signal);
    const registry = 'x-docker-registry-version' in headers || 'x-docker-registry-standalone' in headers;
    const type = baseMediaType(headers['content-type']);
    // Some servers require a login even for the ping.
    if (status === 401) return registry || /^(basic|token)\b/i.test(text(headers, 'www-authenticate'));
    return status === 200 && (registry || !/html/.test(type));
  }

  async #get(url: string, signal: AbortSignal): Promise<{ status: number; headers: HttpHeaders }> {
    const {
      status,
      headers,
      url: from,
    } = await this.options.documents.request(
      { method: 'GET', url, headers: { 'user-agent': V1_USER_AGENT }, signal, retries: 1 },
      { maxBytes: MAX_PING_BYTES },
    );
    this.cookies.take(from, headers['set-cookie']);
    return { status, headers };
  }
}

function text(headers: HttpHeaders, name: string): string {
  return [headers[name] ?? ''].flat().join(',').trim();
}
