/** `imgtool worker` as processes of their own, to be killed at will. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IMGTOOL } from './imgtool.js';

/** How a command ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Workers on one queue, with a home of their own. */
export class WorkerProcesses {
  readonly #env: NodeJS.ProcessEnv;
  readonly #home: string;
  readonly #options: readonly string[];
  readonly #running = new Set<ChildProcess>();
  readonly #killAll = (): void => this.#running.forEach((child) => void child.kill('SIGKILL'));

  private constructor(home: string, queue: string, options: readonly string[], env: NodeJS.ProcessEnv) {
    this.#home = home;
    this.#env = {
      ...process.env,
      HOME: home,
      XDG_CACHE_HOME: home,
      XDG_STATE_HOME: home,
      IMGTOOL_QUEUE: queue,
      ...env,
    };
    this.#options = options;
    process.once('exit', this.#killAll);
  }

  static async open(
    queue: string,
    options: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<WorkerProcesses> {
    return new WorkerProcesses(await mkdtemp(join(tmpdir(), 'imgtool-workers-')), queue, options, env);
  }

  /** Starts one; `ended` resolves when it has ended. */
  start(): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
    return this.#spawn(['worker', ...this.#options]);
  }

  /** Runs another command on the same queue. */
  run(...args: string[]): Promise<Ended> {
    return this.#spawn(args).ended;
  }

  /** Kills one with -9. */
  async kill(child: ChildProcess): Promise<void> {
    const exit = once(child, 'close');
    if (child.kill('SIGKILL')) await exit;
  }

  /** Kills all of them. */
  async close(): Promise<void> {
    process.off('exit', this.#killAll);
    await Promise.all([...this.#running].map((child) => this.kill(child)));
    await rm(this.#home, { recursive: true, force: true });
  }

  #spawn(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
    const child = spawn(IMGTOOL, ['--progress', 'plain', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#env,
    });
    this.#running.add(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = once(child, 'close').then(() => {
      this.#running.delete(child);
      return { code: child.exitCode, stdout, stderr };
    });
    return { child, ended };
  }
}
