interface Waiting {
  readonly callback: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Set<Waiting>>();

/**
 * Calls `callback` once `signal` aborts, unless the function that is returned is called before; not when it has aborted
 * already. However many callbacks wait, the signal has one listener: node takes more than ten for a leak and says so.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const all = waitingFor.get(signal) ?? listenTo(signal);
  const waiting = { callback };
  all.add(waiting);
  return () => {
    all.delete(waiting);
    if (all.size === 0) stopListening(signal);
  };
}

function listenTo(signal: AbortSignal): Set<Waiting> {
  const all = new Set<Waiting>();
  waitingFor.set(signal, all);
  signal.addEventListener('abort', callAll, { once: true });
  return all;
}

function stopListening(signal: AbortSignal): void {
  waitingFor.delete(signal);
  signal.removeEventListener('abort', callAll);
}

function callAll({ target }: Event): void {
  const all = waitingFor.get(target as AbortSignal);
  waitingFor.delete(target as AbortSignal);
  for (const { callback } of all ?? []) callback();
}
