import { TransportError, type TransportPhase } from '../errors.js';

/** The cause of a failed exchange, before it becomes a TransportError. Its code decides about a retry. */
export interface Failure {
  readonly code: string | undefined;
  readonly error: TransportError;
}

/** The state of the exchange that failed. */
interface Exchange {
  readonly host: string;
  readonly secure: boolean;
  /** `host[:port]` of the proxy in use. */
  readonly proxy?: string | undefined;
  /** True when response headers had arrived. */
  readonly answered: boolean;
}

/** A body made no progress for the stall timeout. */
export class StallError extends Error {
  readonly code = 'ETIMEDOUT';
  constructor(ms: number) {
    super(`no data for ${ms / 1000} s`);
  }
}

/** A proxy refused a request, with its status, or did not answer. */
export class ProxyRefusal extends Error {
  readonly code: string;
  readonly status: number | 'silent';
  constructor(status: number | 'silent') {
    super(`the proxy answered ${status}`);
    this.code = typeof status === 'number' && status >= 500 ? 'EPROXYGATEWAY' : 'EPROXY';
    this.status = status;
  }
}

/** True for the parser's errors about a response that is HTTP but malformed. */
export function isMalformedHead(code: string | undefined): boolean {
  return code?.startsWith('HPE_') === true && code !== 'HPE_INVALID_CONSTANT' && code !== 'HPE_HEADER_OVERFLOW';
}

interface Diagnosis {
  readonly phase: TransportPhase;
  readonly message: string;
  readonly hint?: string;
  readonly isPlainHttp?: boolean;
}

const CERTIFICATE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate chain ends in an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is signed by an unknown authority',
  CERT_REVOKED: 'its certificate was revoked',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
};

const UNREACHABLE: ReadonlySet<string> = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN']);

/** Converts an error of got or node into a TransportError with phase and hint. */
export function describeFailure(raw: unknown, exchange: Exchange): Failure {
  const error = innermostError(raw);
  const code = error.code === undefined || error.code === '' ? undefined : error.code;
  const { message, ...diagnosis } = diagnose(error, code, exchange);
  return { code, error: new TransportError(message, { host: exchange.host, ...diagnosis, cause: raw }) };
}

interface NodeError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  /** The wait that ran out (got's TimeoutError). */
  readonly event?: string;
  /** The certificate, when it does not match the host name. */
  readonly cert?: { readonly subjectaltname?: string };
}

function diagnose(error: NodeError, code: string | undefined, exchange: Exchange): Diagnosis {
  const { secure, answered, proxy } = exchange;
  if (error instanceof ProxyRefusal) return refusedByProxy(error.status, exchange);
  // Lookup and connection failures concern the proxy; TLS runs between us and the host behind it.
  const nearest = code !== undefined && BEFORE_TUNNEL.has(code);
  const host = proxy !== undefined && nearest ? `the proxy ${proxy}` : exchange.host;
  if (error.event !== undefined) return timedOut(error.event, host);
  if (error instanceof StallError) {
    return { phase: 'body', message: `the transfer with ${host} stalled: ${error.message}` };
  }
  if (code === 'ENOTFOUND') {
    return {
      phase: 'lookup',
      message: `host ${proxy ?? host} is unknown`,
      hint: 'check the spelling and the DNS configuration',
    };
  }
  if (code === 'EAI_AGAIN') {
    return {
      phase: 'lookup',
      message: `host ${proxy ?? host} could not be looked up: DNS does not answer`,
      hint: NETWORK_HINT,
    };
  }
  if (code === 'ECONNREFUSED') {
    const hint = 'check the host and port, and that the registry is running';
    return { phase: 'connect', message: `${host} refused the connection`, hint };
  }
  if (code !== undefined && UNREACHABLE.has(code)) {
    return { phase: 'connect', message: `${host} cannot be reached (${code})`, hint: NETWORK_HINT };
  }
  if (code !== undefined && code in CERTIFICATE) return distrusted(error, code, host);
  if (code !== undefined && WANTS_CLIENT_CERTIFICATE.test(code)) {
    const hint = `put client.cert and client.key into /etc/docker/certs.d/${host} or a directory for --cert-dir`;
    return { phase: 'tls', message: `${host} requires a client certificate`, hint };
  }
  if (secure && !answered && /wrong version number|packet length too long|record layer/i.test(error.message)) {
    const hint = 'to allow plain HTTP, use --tls-verify=false';
    const message = `${host} does not speak HTTPS; it seems to use plain HTTP`;
    return { phase: 'tls', message, hint, isPlainHttp: true };
  }
  if (code === 'EPROTO' || code?.startsWith('ERR_SSL') === true || code?.startsWith('ERR_TLS') === true) {
    return { phase: 'tls', message: `TLS with ${host} failed: ${oneLine(error.message)}` };
  }
  if (code === 'HPE_HEADER_OVERFLOW' || isMalformedHead(code)) {
    return {
      phase: answered ? 'body' : 'response',
      message: `${host} sent an invalid HTTP response (${code})`,
      hint: 'the registry or a proxy in front of it is misconfigured',
    };
  }
  if (code?.startsWith('HPE_') === true) {
    return {
      phase: 'response',
      message: `${host} does not answer as an HTTP server (${code})`,
      hint: 'check the port',
    };
  }
  const phase = error.syscall === 'connect' ? 'connect' : answered ? 'body' : 'response';
  const lost = code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_HTTP_CONTENT_LENGTH_MISMATCH';
  const what = lost ? 'closed the connection' : `failed: ${oneLine(error.message) || (code ?? 'unknown reason')}`;
  const when = answered ? 'in the middle of the body' : 'before it answered';
  return { phase, message: lost ? `${host} ${what} ${when}` : `the request to ${host} ${what}` };
}

/** Codes of failures before the proxy has responded. */
const BEFORE_TUNNEL: ReadonlySet<string> = new Set([...UNREACHABLE, 'ECONNREFUSED']);

const WANTS_CLIENT_CERTIFICATE = /^ERR_SSL_\w*(CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|HANDSHAKE_FAILURE)$/;

function distrusted(error: NodeError, code: string, host: string): Diagnosis {
  let why = CERTIFICATE[code]!;
  let hint = 'add its CA certificate with --cert-dir, or accept any certificate with --tls-verify=false';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = error.cert?.subjectaltname;
    if (names !== undefined && names !== '') why = `its certificate is for ${oneLine(names)}`;
    hint = 'use a name from the certificate, or accept any certificate with --tls-verify=false';
  } else if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    hint = 'check the clock of this machine; if it is right, the registry needs a new certificate';
  }
  return { phase: 'tls', message: `${host} cannot be trusted: ${why}`, hint };
}

function refusedByProxy(status: number | 'silent', { host, proxy = 'between' }: Exchange): Diagnosis {
  const phase = 'connect';
  if (status === 'silent') {
    return { phase, message: `the proxy ${proxy} did not answer in time`, hint: 'allow more time with --timeout' };
  }
  if (status === 407 || status === 401) {
    const hint = 'put user and password into the URL of the proxy: http://USER:PASSWORD@HOST:PORT';
    return { phase, message: `the proxy ${proxy} requires a user name and password`, hint };
  }
  const hint = 'if the host is reachable without the proxy, add it to NO_PROXY';
  return { phase, message: `the proxy ${proxy} does not allow connections to ${host} (status ${status})`, hint };
}

const NETWORK_HINT = 'check the network connection';

function timedOut(event: string, host: string): Diagnosis {
  const hint = 'allow more time with --timeout';
  if (event === 'lookup') return { phase: 'lookup', message: `looking up ${host} took too long`, hint };
  if (event === 'connect') return { phase: 'connect', message: `connecting to ${host} took too long`, hint };
  if (event === 'secureConnect') return { phase: 'tls', message: `the TLS handshake with ${host} took too long`, hint };
  return { phase: 'response', message: `${host} did not answer in time`, hint };
}

/** The root cause: got wraps node's error, and node wraps one error per address of the host. */
function innermostError(raw: unknown): NodeError {
  let error = raw as NodeError;
  while (error.event === undefined && error.cause instanceof Error) error = error.cause;
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300);
}
