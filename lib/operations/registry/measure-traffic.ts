import type { RegistryClient } from '../../registry/index.js';

/** What an operation has cost so far. Bytes are those of bodies. */
export interface Traffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly requests: number;
  readonly seconds: number;
}

/** Starts to measure clients; the function that is returned tells what they did since. */
export function measureTraffic(clients: Iterable<Pick<RegistryClient, 'statistics'>>): () => Traffic {
  const distinct = [...new Set(clients)];
  const started = performance.now();
  const total = (key: keyof RegistryClient['statistics']): number =>
    distinct.reduce((sum, { statistics }) => sum + statistics[key], 0);
  const before = { sent: total('bytesSent'), received: total('bytesReceived'), requests: total('requests') };
  return () => ({
    bytesSent: total('bytesSent') - before.sent,
    bytesReceived: total('bytesReceived') - before.received,
    requests: total('requests') - before.requests,
    seconds: (performance.now() - started) / 1000,
  });
}
