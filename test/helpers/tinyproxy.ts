/** Debian's tinyproxy as a real forward proxy on a free loopback port. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, stopChild } from './docker-registry.js';

/** A running proxy. */
export interface Tinyproxy {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Request lines it has logged (`CONNECT host:port HTTP/1.1`), oldest first. */
  requests(): string[];
  stop(): Promise<void>;
}

/** Starts tinyproxy; `login`: `USER PASSWORD` that it asks for. */
export async function startTinyproxy(login?: string): Promise<Tinyproxy> {
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-tinyproxy-'));
  const [config, log] = [join(directory, 'conf'), join(directory, 'log')];
  const port = await freePort();
  const lines = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 60', `LogFile "${log}"`, 'LogLevel Connect'];
  if (login !== undefined) lines.push(`BasicAuth ${login}`);
  writeFileSync(config, `${lines.join('\n')}\n`);
  const child = spawn('tinyproxy', ['-d', '-c', config], { stdio: 'ignore' });
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', killOnExit);
  const deadline = Date.now() + 60_000;
  while (!(await listens(port))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('tinyproxy did not start');
    await sleep(20);
  }
  return {
    host: `127.0.0.1:${port}`,
    requests: () =>
      [...readFileSync(log, 'utf8').matchAll(/Request \(file descriptor \d+\): (.*)$/gm)].map((match) => match[1]!),
    stop: async () => {
      process.off('exit', killOnExit);
      await stopChild(child);
      rmSync(directory, { recursive: true });
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
