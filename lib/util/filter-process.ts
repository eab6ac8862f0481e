import type { Writable } from 'node:stream';
import { CommandError } from '../errors.js';
import { onAbort } from './on-abort.js';
import { SYSTEM_PATH } from './run-process.js';

const KEPT_BYTES = 4096;

/**
 * Pipes `source` through a program, run by argv without a shell, and yields its output with back-pressure on both
 * sides. Throws CommandError when the program is missing (`exitCode` undefined) or fails, and the errors of the source.
 * The program has ended when the generator ends for any reason.
 */
export async function* filterProcess(
  argv: readonly [string, ...string[]],
  source: AsyncIterable<Uint8Array>,
  options: { readonly signal: AbortSignal; readonly hint?: string },
): AsyncGenerator<Buffer> {
  const { signal, hint } = options;
  signal.throwIfAborted();
  const { spawn } = await import('node:child_process');
  const [program, ...rest] = argv;
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: SYSTEM_PATH, LC_ALL: 'C' } });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-KEPT_BYTES)));
  let missing: Error | undefined;
  child.once('error', (error) => (missing = error));
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const kill = (): void => void child.kill('SIGKILL');
  const forget = onAbort(signal, kill);
  let fault: { readonly error: unknown } | undefined;
  // If the program stops reading, its exit code decides.
  child.stdin.on('error', () => undefined);
  const feeding = feed(source, child.stdin).catch((error: unknown) => {
    fault = { error };
    kill();
  });
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const exitCode = await closed;
    signal.throwIfAborted();
    if (fault !== undefined) throw fault.error as Error;
    if (missing !== undefined || exitCode !== 0) {
      const why = missing === undefined ? (stderr.trim().split('\n').at(-1) ?? '') : 'the program is not installed';
      throw new CommandError(`${program} failed: ${why || `exit code ${exitCode}`}`, {
        argv,
        exitCode: missing === undefined ? (exitCode ?? -1) : undefined,
        stderr,
        hint,
        cause: missing,
      });
    }
  } finally {
    forget();
    kill();
    child.stdin.destroy();
    await closed;
    await feeding;
  }
}

async function feed(source: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  let goOn = (): void => undefined;
  for (const event of ['drain', 'close']) to.on(event, () => goOn());
  for await (const chunk of source) {
    if (to.destroyed || to.writableEnded) return;
    if (!to.write(chunk)) await new Promise<void>((resolve) => (goOn = resolve));
  }
  to.end();
}
