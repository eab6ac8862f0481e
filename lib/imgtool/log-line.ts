import type { RequestLog } from '../server/index.js';

/** Log line for one answered request. */
export function logLine({
  remote,
  method,
  url,
  status,
  bytesReceived,
  bytesSent,
  durationMs,
  complete,
  error,
}: RequestLog): string {
  const outcome = complete ? '' : ', cut off';
  const cause = error === undefined ? '' : `: ${error instanceof Error ? error.message : 'unknown'}`;
  return `${remote} ${method} ${url} ${status}, ${bytesReceived} B in, ${bytesSent} B out, ${durationMs.toFixed(0)} ms${outcome}${cause}`;
}
