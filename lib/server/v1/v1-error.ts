import { RequestError } from '../request-error.js';

/** A request over protocol v1 that is answered with an error: `{"error": text}`, as the Python server says it. */
export function v1Error(status: number, text: string, headers: Readonly<Record<string, string>> = {}): RequestError {
  return new RequestError(status, 'UNKNOWN', text, { headers });
}
