import {
  AuthenticationError,
  NotFoundError,
  RegistryError,
  type ImgtoolError,
  type RegistryDiagnostic,
  type ThingKind,
} from '../../errors.js';
import { readCapped, redactText, redactUrl, type BufferedResponse, type StreamedResponse } from '../../http/index.js';
import { escapeText } from '../../util/index.js';

/** Describes the request, for error messages. */
export interface Asked {
  readonly method: string;
  /** `host[:port]` as the user wrote it. */
  readonly host: string;
  readonly kind: ThingKind;
  /** Its name for users: `host/repo:tag`, an ID. */
  readonly subject: string;
}

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_MESSAGE_LENGTH = 300;

/** Like `v1Error`, for a streamed response. Reads part of its body and closes it. */
export async function v1StreamError(response: StreamedResponse, asked: Asked): Promise<ImgtoolError> {
  return v1Error({ ...response, ...(await readCapped(response.body, MAX_ERROR_BYTES)) }, asked);
}

/** Creates the error for an unsuccessful response of a v1 registry. */
export function v1Error(response: BufferedResponse, asked: Asked): ImgtoolError {
  const { host, kind, subject, method } = asked;
  const { status } = response;
  const text = v1ErrorText(response.body);
  const why = text === '' ? '' : `: ${text}`;
  if (status === 404) {
    const repository = subject.slice(0, subject.lastIndexOf(':'));
    const hint = kind === 'tag' ? `list the tags: imgtool tags ${repository}` : 'check the spelling';
    return new NotFoundError(`${host} has no ${kind} ${subject}${why}`, { kind, subject, hint });
  }
  if (status === 401 || status === 403) {
    return new AuthenticationError(`${host} refuses access to ${subject}${why}`, {
      host,
      isLoginRefused: true,
      hint: `check the name, or log in with: imgtool login ${host}`,
    });
  }
  return new RegistryError(`${host} answered ${status} for ${subject}${why}`, {
    status,
    method,
    url: redactUrl(response.url),
    diagnostics: text === '' ? [] : [{ code: '', message: text }],
    hint: saysUploading({ message: text })
      ? 'a push of this image is in progress or was interrupted: try again later, or push it again'
      : status >= 500
        ? 'the problem is on the side of the registry: try again later'
        : undefined,
  });
}

function saysUploading({ message }: Pick<RegistryDiagnostic, 'message'>): boolean {
  return /being uploaded/i.test(message);
}

/** True when a read failed because the image is still being uploaded (docker-registry images.py). */
export function isUploading(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 400 && error.diagnostics.some(saysUploading);
}

/** The text of `{"error": "text"}`. Empty for anything else, such as a proxy's page. */
export function v1ErrorText(body: Buffer): string {
  try {
    const text = (JSON.parse(body.toString('utf8')) as { error?: unknown } | null)?.error;
    return typeof text === 'string'
      ? redactText(escapeText(text.slice(0, 4096).trim())).slice(0, MAX_MESSAGE_LENGTH)
      : '';
  } catch {
    return '';
  }
}
