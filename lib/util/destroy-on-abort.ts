import type { Readable } from 'node:stream';
import { onAbort } from './on-abort.js';

/** Destroys `stream` with an AbortError once `signal` aborts; of any number of streams the signal has one listener. */
export function destroyOnAbort<S extends Readable>(signal: AbortSignal, stream: S): S {
  const abort = (): void => void stream.destroy(new DOMException('The operation was aborted', 'AbortError'));
  if (signal.aborted) abort();
  else stream.once('close', onAbort(signal, abort));
  return stream;
}
