import type { Readable } from 'node:stream';
import { UsageError } from '../errors.js';
import { escapeText, onAbort } from '../util/index.js';
import type { OutputStream } from './output-stream.js';

/** Standard input, possibly a terminal. */
export type TerminalInput = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };

const MAX_LENGTH = 16 * 1024;

/**
 * Asks the user on the terminal; input is echoed unless `hidden`. Resolves with one line. Throws UsageError without a
 * terminal, and AbortError on Ctrl-C or when the signal aborts.
 */
export async function ask(
  question: string,
  io: {
    readonly input: TerminalInput | undefined;
    readonly output: OutputStream;
    readonly hidden: boolean;
    readonly signal: AbortSignal;
  },
): Promise<string> {
  const { input, output, hidden, signal } = io;
  if (input?.isTTY !== true || input.setRawMode === undefined) {
    throw new UsageError('cannot ask for the user name and password without a terminal', {
      hint: 'give -u USER and the password by --password-stdin',
    });
  }
  signal.throwIfAborted();
  // Only raw mode turns off echo.
  input.setRawMode(true);
  output.write(question);
  try {
    return await readLine(input, { signal, echo: (text) => (hidden ? undefined : output.write(text)) });
  } finally {
    input.setRawMode(false);
    input.pause();
    output.write('\r\n');
  }
}

function readLine(
  input: Readable,
  { signal, echo }: { readonly signal: AbortSignal; readonly echo: (text: string) => unknown },
): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = '';
    const decoder = new TextDecoder();
    const end = (settle: () => void): void => {
      input.off('data', take).off('end', finish).off('error', fail);
      forgetAbort();
      settle();
    };
    const finish = (): void => end(() => resolve(line));
    const fail = (error: Error): void => end(() => reject(error));
    const take = (chunk: Buffer): void => {
      for (const char of decoder.decode(chunk, { stream: true })) {
        if (char === '\r' || char === '\n' || char === '\u0004') return finish();
        if (char === '\u0003') return fail(new DOMException('interrupted', 'AbortError'));
        if (char === '\u007f' || char === '\b') {
          if (line !== '') echo('\b \b');
          line = [...line].slice(0, -1).join('');
        } else if (char === '\u0015') line = '';
        else if (line.length < MAX_LENGTH) {
          line += char;
          echo(escapeText(char));
        }
      }
    };
    input.on('data', take).on('end', finish).on('error', fail);
    const forgetAbort = onAbort(signal, () => fail(signal.reason as Error));
    // An earlier question paused it.
    input.resume();
  });
}
