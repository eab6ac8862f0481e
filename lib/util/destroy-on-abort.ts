import type { Readable } from 'node:stream';
import { onAbort } from './on-abort.js';

/** Destroys `stream` with an AbortError when `signal` aborts. The signal has one listener for any number of streams. */
export function destroyOnAbort<S extends Readable>(signal: AbortSignal, stream: S): S {
  const abort = (): void => void stream.destroy(new DOMException('The operation was aborted', 'AbortError'));
  if (signal.aborted) abort();
  else stream.once('close', onAbort(signal, abort));
  return stream;
}
