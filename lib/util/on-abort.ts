interface Waiting {
  readonly callback: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Set<Waiting>>();

/**
 * Calls `callback` when `signal` aborts, until the returned function is called. Does nothing when it has already
 * aborted. Registers a single listener per signal, because node warns about a leak above ten.
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
