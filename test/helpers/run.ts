import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a program without a shell and resolves with what it printed on stdout. Throws with its stderr, or its stdout if that is empty, when it fails. */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], {
      maxBuffer: 64 << 20,
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    return stdout;
  } catch (error) {
    const { stdout, stderr, code } = error as { stdout?: string; stderr?: string; code?: number | string };
    throw new Error(`${program} ${args.join(' ')} failed (${code}): ${(stderr || stdout || '').trim().slice(-2000)}`, {
      cause: error,
    });
  }
}
