/** Runs the program as users do, on a store of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { commandLine } from './command-line.js';
import { stopChild } from './docker-registry.js';
import { run } from './run.js';

/** Path of the launcher. */
export const IMGTOOL = resolve('bin/imgtool');

/**
 * Runs `imgtool --root ROOT --progress none ARGS…` in this process (see `commandLine`); `run` as a process. Resolves with
 * its stdout, trimmed. Throws with its stderr.
 */
export async function imgtool(root: string, ...args: string[]): Promise<string> {
  if (args[0] === 'run') return imgtoolProcess(root, ...args);
  const { code, stdout, stderr } = await commandLine(['--root', root, '--progress', 'none', ...args]);
  if (code !== 0) throw new Error(`imgtool ${args.join(' ')} failed (${code}): ${stderr.trim()}`);
  return stdout.trim();
}

/** Runs `bin/imgtool --root ROOT --progress none ARGS…` as a process of its own; otherwise as `imgtool`. */
export async function imgtoolProcess(root: string, ...args: string[]): Promise<string> {
  return (await run(IMGTOOL, ['--root', root, '--progress', 'none', ...args])).trim();
}

/**
 * Copies the built program and the packages it loads into `directory`, where another user can read it (a checkout below
 * /root cannot be read by others). Resolves with the path of the launcher.
 */
export async function copyProgram(directory: string): Promise<string> {
  for (const name of ['bin/imgtool', 'bin/package.json', 'dist/bundle', 'node_modules/@koromix'])
    await cp(resolve(name), join(directory, name), { recursive: true });
  await chmod(directory, 0o755);
  return join(directory, 'bin/imgtool');
}

/** A running `bin/imgtool serve`. */
export interface Served {
  /** `host:port`. */
  readonly host: string;
  /** Ends it and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Starts `bin/imgtool serve` for a directory on a free loopback port. */
export function startServe(directory: string): Promise<Served> {
  return serveWith(['--dir', directory]);
}

/** Starts `bin/imgtool serve ARGS…` on a free loopback port; `onLog` is given what it says. */
export async function serveWith(args: readonly string[], onLog?: (text: string) => void): Promise<Served> {
  const child = spawn(IMGTOOL, ['serve', '--listen', '127.0.0.1:0', ...args], {
    stdio: ['ignore', 'pipe', onLog === undefined ? 'inherit' : 'pipe'],
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => onLog?.(text));
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', killOnExit);
  const [first] = (await Promise.race([once(child.stdout!, 'data'), once(child, 'close')])) as unknown[];
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
