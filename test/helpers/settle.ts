import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Lets what is on its way through the sockets of this process arrive. A single pause would not do on a busy machine:
 * after it the event loop runs timers that are due before it looks at sockets.
 */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await sleep(5);
}
