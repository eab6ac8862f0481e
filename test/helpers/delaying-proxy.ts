/** A reverse proxy that holds back each request, as a far registry would. */
import { Agent, createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenOnLoopback } from './loopback-server.js';

/** Stands in front of `host`, on a free loopback port; each request waits so many milliseconds, or for what `wait` says, before it goes on. */
export async function startDelayingProxy(
  host: string,
  wait: number | ((path: string) => Promise<unknown>),
): Promise<{ readonly host: string; readonly url: string; stop(): Promise<void> }> {
  const [hostname, port] = host.split(':');
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, outgoing) => {
    void (typeof wait === 'number' ? sleep(wait) : wait(incoming.url ?? '')).then(() => {
      const { method, url, headers } = incoming;
      const onward = request({ hostname, port, method, path: url, headers, agent }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      outgoing.on('close', () => onward.destroy());
      incoming.pipe(onward);
    });
  });
  const listening = await listenOnLoopback(server);
  return {
    host: listening.host,
    url: `http://${listening.host}`,
    stop: async () => {
      await listening.close();
      agent.destroy();
    },
  };
}
