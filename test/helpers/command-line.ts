/** Command lines as users type them, run in this process: to start Node takes longer than most commands do. */
import { Readable } from 'node:stream';
import { runCli } from '../../lib/cli/index.js';

/** How a command line ended. */
export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command line gets from its process. */
export interface CommandWorld {
  /** All variables; default: those of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** Standard input; default: empty. */
  readonly input?: string | Uint8Array;
  /** How the bytes of the outputs become text; default: UTF-8. */
  readonly encoding?: BufferEncoding;
}

/**
 * Runs `imgtool ARGS…` up to its exit code, never throws. Not for what is about the process itself (signals, kills,
 * memory, locks between two of them) and not for `run`, whose program writes to the streams of its process.
 */
export async function commandLine(
  args: readonly string[],
  { env = process.env, input = '', encoding = 'utf8' }: CommandWorld = {},
): Promise<CommandOutcome> {
  const stdout = new Collected();
  const stderr = new Collected();
  const code = await runCli(args, {
    ...{ stdout, stderr, env: { ...env } },
    stdin: () => Readable.from([Buffer.from(input)]),
    signal: new AbortController().signal,
  });
  return { code, stdout: stdout.text(encoding), stderr: stderr.text(encoding) };
}

class Collected {
  readonly #chunks: Buffer[] = [];

  write(data: string | Uint8Array, done?: (error?: Error | null) => void): void {
    this.#chunks.push(Buffer.from(data as string));
    done?.();
  }

  text(encoding: BufferEncoding): string {
    return Buffer.concat(this.#chunks).toString(encoding);
  }
}
