/** Debian's redis-server with an append-only file: one process on a free loopback port, temporary storage. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, stopChild } from './docker-registry.js';

/** A running Redis. `stop` ends it and removes its files. */
export interface RedisServer {
  /** `redis://127.0.0.1:PORT`, without a password. */
  readonly url: string;
  readonly port: number;
  /** Kills it and starts it again on what it wrote, `awayMs` later. */
  restart(awayMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts redis-server with more of its settings, such as `--requirepass x`. Throws with the end of its log when it does not start. */
export async function startRedisServer(
  settings: readonly string[] = [],
  options: { readonly tls?: { readonly certificate: string; readonly key: string } } = {},
): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'imgtool-redis-'));
  const { tls } = options;
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const listen =
      tls === undefined
        ? ['--port', `${port}`]
        : [
            '--port',
            '0',
            '--tls-port',
            `${port}`,
            '--tls-cert-file',
            tls.certificate,
            '--tls-key-file',
            tls.key,
          ].concat(...['--tls-auth-clients', 'no']);
    const argv = [
      ...['--bind', '127.0.0.1', '--dir', directory, '--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
      ...['--logfile', join(directory, 'log'), ...listen, ...settings],
    ];
    try {
      let child = await launch(argv, port, directory);
      const killOnExit = (): void => void child.kill('SIGKILL');
      process.once('exit', killOnExit);
      return {
        url: `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
        port,
        restart: async (awayMs) => {
          const exit = once(child, 'exit');
          child.kill('SIGKILL');
          await exit;
          await sleep(awayMs);
          child = await launch(argv, port, directory);
        },
        stop: async () => {
          process.off('exit', killOnExit);
          await stopChild(child);
          await rm(directory, { recursive: true, force: true });
        },
      };
    } catch (error) {
      // Another process may have taken the free port first.
      if (attempt < 3) continue;
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }
}

async function launch(argv: readonly string[], port: number, directory: string): Promise<ChildProcess> {
  const child = spawn('redis-server', argv, { stdio: 'ignore' });
  const deadline = Date.now() + 60_000;
  await Promise.race([once(child, 'spawn'), once(child, 'error').then(([error]) => Promise.reject(error as Error))]);
  while (Date.now() < deadline && child.exitCode === null) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open && child.exitCode === null) return child;
    await sleep(20);
  }
  await stopChild(child);
  const log = await readFile(join(directory, 'log'), 'utf8').catch(() => '');
  throw new Error(`redis-server did not start on port ${port} (package redis-server): ${log.slice(-500)}`);
}
