import {
  AuthenticationError,
  NotFoundError,
  RegistryError,
  type ImgtoolError,
  type RegistryDiagnostic,
  type ThingKind,
} from '../../errors.js';
import {
  readDocument,
  redactText,
  redactUrl,
  type BufferedResponse,
  type HostFacts,
  type HttpResponse,
  type StreamedResponse,
} from '../../http/index.js';
import { baseMediaType } from '../../spec/index.js';

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_DIAGNOSTICS = 20;
const MAX_MESSAGE_LENGTH = 300;
const HEAD_REFUSED: ReadonlySet<number> = new Set([400, 403, 405, 501]);
/** Refusals that proxies in front of a registry answer with an HTML page. */
const OF_PROXIES: ReadonlySet<number> = new Set([413, 429]);

/** Describes the request, for error messages. */
export interface Asked {
  readonly method: string;
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  readonly repository: string;
  readonly kind: ThingKind;
  /** Its name for users: `host/repo:tag`, a digest. */
  readonly subject: string;
  /** The host is known to be a registry, so a page comes from a proxy, and 404 does not concern the repository. */
  readonly isRegistry?: boolean;
  /** Length of the request body. Bytes. */
  readonly sentBytes?: number;
}

/** Like `responseError`, for a streamed response. Reads part of its body and closes it. */
export async function streamedResponseError(response: StreamedResponse, asked: Asked): Promise<ImgtoolError> {
  return responseError({ ...response, ...(await readDocument(response, MAX_ERROR_BYTES)) }, asked);
}

/** Creates the error for an unsuccessful response. `refusedLogin`: the source of the credentials that were sent. */
export function responseError(
  response: BufferedResponse & { readonly refusedLogin?: string | undefined },
  asked: Asked,
): ImgtoolError {
  const { status, refusedLogin: login } = response;
  const diagnostics = parseDiagnostics(response.body);
  const said = diagnostics.map(({ code, message }) => (message === '' ? code : message)).join('; ');
  const why = said === '' ? '' : `: ${said}`;
  const { isRegistry = false } = asked;
  if (isPage(response) && !isRegistry) return notARegistryError(response, asked);
  if (status === 413) return tooLargeError(response, asked, why);
  if (status === 404 && !isRegistry) return notFoundError(asked, diagnostics);
  if (status === 401 || status === 403) {
    const sent = login === undefined ? '' : ` with the credentials of ${login}`;
    return new AuthenticationError(`${asked.host} refuses access to ${asked.subject}${sent}${why}`, {
      host: asked.host,
      credentialSource: login,
      isLoginRefused: true,
      hint: refusalHint(asked.host, login),
    });
  }
  const hint =
    status === 429
      ? (retryAfterHint(response) ?? `${asked.host} limits requests: wait, or log in with: imgtool login ${asked.host}`)
      : status === 507 || (status >= 500 && /no space left|quota exceeded/i.test(said))
        ? `${asked.host} has no space left: free some there and run the command again`
        : status >= 500
          ? 'the problem is on the side of the registry: try again later'
          : undefined;
  return new RegistryError(`${asked.host} answered ${status} for ${asked.subject}${why}`, {
    status,
    method: asked.method,
    url: redactUrl(response.url),
    diagnostics,
    hint,
  });
}

/** The hint for a refused access. `login`: the source of the credentials that were sent. */
export function refusalHint(host: string, login: string | undefined): string {
  const how = `log in with: imgtool login ${host}`;
  return login === undefined ? `check the name, or ${how}` : `check the name and the credentials, or ${how}`;
}

function tooLargeError({ url }: HttpResponse, { host, method, subject, sentBytes }: Asked, why: string): RegistryError {
  const what = sentBytes === undefined ? 'a body of that size' : `${sentBytes} bytes in one request`;
  return new RegistryError(`${host} does not accept ${what} (status 413): ${subject}${why}`, {
    status: 413,
    method,
    url: redactUrl(url),
    hint: 'the registry or a proxy in front of it limits request bodies: raise the limit (nginx: client_max_body_size)',
  });
}

/** Creates the error for a response that no registry would send. */
export function notARegistryError(response: HttpResponse, asked: Asked): RegistryError {
  const what = baseMediaType(response.headers['content-type']) || 'no content type';
  return new RegistryError(`${asked.host} does not answer as a registry (status ${response.status}, ${what})`, {
    status: response.status,
    method: asked.method,
    url: redactUrl(response.url),
    hint: 'check the host name and port',
  });
}

/** True when a response looks like that of an ordinary web server: an HTML page instead of a document. */
export function isForeign(response: HttpResponse): boolean {
  const { status, headers } = response;
  if ('docker-distribution-api-version' in headers || status >= 500 || OF_PROXIES.has(status)) return false;
  const type = baseMediaType(headers['content-type']);
  return type === 'text/html' || type === 'application/xhtml+xml';
}

/** Like `isForeign`, for a response whose body is in memory: a JSON document is not a page, whatever its content type. */
export function isPage(response: BufferedResponse): boolean {
  return isForeign(response) && !/^\s*\{/.test(response.body.toString('latin1', 0, 100));
}

/** True when GET may succeed although HEAD was refused: some registries, proxies and storage services handle HEAD incorrectly. */
export function isHeadUnreliable({ status, headers }: HttpResponse, { headWorks }: HostFacts): boolean {
  if (status === 404) return headWorks !== true && !('docker-distribution-api-version' in headers);
  return HEAD_REFUSED.has(status);
}

function notFoundError(
  { host, repository, kind, subject }: Asked,
  diagnostics: readonly RegistryDiagnostic[],
): NotFoundError {
  if (kind === 'catalog') {
    return new NotFoundError(`${host} does not offer a catalog of its repositories`, {
      kind,
      subject,
      hint: `name a repository, for example: imgtool tags ${host}/REPOSITORY`,
    });
  }
  if (diagnostics.some(({ code }) => code === 'NAME_UNKNOWN')) {
    return new NotFoundError(`${host} has no repository ${repository}`, {
      kind: 'repository',
      subject: `${host}/${repository}`,
      hint: 'check the spelling of the repository name',
    });
  }
  const hint =
    kind === 'blob' ? 'the registry has lost it or never had it' : `list the tags: imgtool tags ${host}/${repository}`;
  return new NotFoundError(`${host} has no ${kind} ${subject}`, { kind, subject, hint });
}

function retryAfterHint(response: HttpResponse): string | undefined {
  const value = response.headers['retry-after'];
  return value === undefined ? undefined : `the registry asks to retry later (Retry-After: ${clean(value)})`;
}

/** Parses the `errors` of distribution-spec "Error Codes". Ignores anything of another shape. */
function parseDiagnostics(body: Buffer): RegistryDiagnostic[] {
  let errors: unknown;
  try {
    errors = (JSON.parse(body.toString('utf8')) as { errors?: unknown } | null)?.errors;
  } catch {
    return [];
  }
  if (!Array.isArray(errors)) return [];
  return (errors as unknown[]).slice(0, MAX_DIAGNOSTICS).flatMap((entry) => {
    const { code, message, detail } = (entry ?? {}) as { code?: unknown; message?: unknown; detail?: unknown };
    if (typeof code !== 'string' && typeof message !== 'string') return [];
    // For UNKNOWN, distribution puts the reason into the detail and the same text into every message.
    const said = code === 'UNKNOWN' && typeof detail === 'string' && detail !== '' ? detail : message;
    return [{ code: clean(code), message: clean(said) }];
  });
}

/** Text from a server, made safe for terminals and logs. */
function clean(text: unknown): string {
  if (typeof text !== 'string') return '';
  const line = text
    .slice(0, 4096)
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .trim();
  return redactText(line).slice(0, MAX_MESSAGE_LENGTH);
}
