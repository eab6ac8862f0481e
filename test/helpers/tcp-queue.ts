import { readFileSync } from 'node:fs';

/**
 * Bytes of all IPv4 connections of `port` that one side has sent and the other has not read yet: what is lost when
 * the reader is killed, whatever the reader does. Source: proc_net_tcp(5), tx_queue and rx_queue.
 */
export function bytesUnderWay(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  let sum = 0;
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (!local?.endsWith(`:${hex}`) && !remote?.endsWith(`:${hex}`)) continue;
    const [sending, receiving] = queues!.split(':').map((value) => Number.parseInt(value, 16));
    sum += sending! + receiving!;
  }
  return sum;
}
