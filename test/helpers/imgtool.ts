/** Runs the built program as users do, on a store of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { stopChild } from './docker-registry.js';
import { run } from './run.js';

/** Path of the launcher. */
export const IMGTOOL = resolve('bin/imgtool');

/** Runs `bin/imgtool --root ROOT --progress none ARGS…`; resolves with its stdout, trimmed. Throws with its stderr. */
export async function imgtool(root: string, ...args: string[]): Promise<string> {
  return (await run(IMGTOOL, ['--root', root, '--progress', 'none', ...args])).trim();
}

/** Starts `bin/imgtool serve` on a free loopback port. `stop` ends it and resolves with its exit code. */
export async function startServe(
  directory: string,
): Promise<{ readonly host: string; stop(): Promise<number | null> }> {
  const child = spawn(IMGTOOL, ['serve', '--listen', '127.0.0.1:0', '--dir', directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', killOnExit);
  const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'close')])) as unknown[];
  const url = String(first).trim();
  if (!url.startsWith('http://')) throw new Error(`imgtool serve ended early: ${url}`);
  return {
    host: url.slice('http://'.length),
    stop: async () => {
      process.off('exit', killOnExit);
      await stopChild(child);
      return child.exitCode;
    },
  };
}

/** Makes a container of an image and resolves with the directory of its files. */
export async function mountNew(root: string, image: string): Promise<string> {
  return imgtool(root, 'mount', await imgtool(root, 'create', image));
}
