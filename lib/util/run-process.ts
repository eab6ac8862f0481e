import { CommandError } from '../errors.js';

/** The search path for programs: fixed, never taken from the environment or an image (CVE-2019-14271). */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const KEPT_BYTES = 65536;

/**
 * Runs a program by argv, without a shell, in the C locale. Resolves with its stdout (the last 64 KiB). Throws
 * CommandError with the end of stderr when it is missing (`exitCode` undefined) or fails, AbortError when aborted
 * (after killing the program). `hint`: the error's hint. `env`: variables in addition to PATH and LC_ALL.
 */
export async function runProcess(
  argv: readonly [string, ...string[]],
  options: {
    readonly signal?: AbortSignal;
    readonly hint?: string;
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<string> {
  const { spawn } = await import('node:child_process');
  const [program, ...rest] = argv;
  return new Promise((resolve, reject) => {
    const output = { stdout: '', stderr: '' };
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...options.env, PATH: SYSTEM_PATH, LC_ALL: 'C' },
      killSignal: 'SIGKILL',
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(-KEPT_BYTES);
      });
    const fail = (why: string, exitCode?: number, cause?: unknown): void => {
      reject(
        new CommandError(`${program} failed: ${why}`, {
          argv,
          exitCode,
          stderr: output.stderr,
          hint: options.hint,
          cause,
        }),
      );
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.name === 'AbortError') reject(error);
      else fail(error.code === 'ENOENT' ? 'the program is not installed' : error.message, undefined, error);
    });
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0) resolve(output.stdout);
      else if (exitCode === null) fail(`killed by ${signal}`);
      else fail(lastLine(output.stderr) ?? `exit code ${exitCode}`, exitCode);
    });
  });
}

function lastLine(text: string): string | undefined {
  return text.trim().split('\n').at(-1) || undefined;
}
