import { RequestError } from '../request-error.js';

/** Creates the error for a v1 request, sent as `{"error": text}` like the Python server. */
export function v1Error(status: number, text: string, headers: Readonly<Record<string, string>> = {}): RequestError {
  return new RequestError(status, 'UNKNOWN', text, { headers });
}
