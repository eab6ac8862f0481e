import { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import { SILENT, type ProgressSink } from '../progress/index.js';
import { escapeText } from '../util/index.js';
import type { CommandResult, TextResult } from './command.js';
import type { ErrorReport } from './error-report.js';
import type { OutputStream } from './output-stream.js';
import { LateSink } from './late-sink.js';
import type { ClosableSink, ProgressMode } from './progress-sink.js';
import { jsonText } from './json-text.js';
import { inAscii, isUtf8, paint, wantsColour } from './look.js';
import { formatTable, type Table } from './table.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** Output settings from the flags. */
interface TerminalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly progress: ProgressMode;
  readonly logLevel: LogLevel;
  /** Also print errors as annotations. */
  readonly github: boolean;
}

/** The only writer to stdout and stderr: results go to stdout, everything else to stderr. */
export class Terminal {
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  readonly #env: NodeJS.ProcessEnv;
  readonly #shown: (text: string) => string;
  #options: TerminalOptions = { json: false, quiet: false, progress: 'none', logLevel: 'info', github: false };
  #sink: LateSink | undefined;

  /** `env`: the locale's variables, NO_COLOR and TERM decide which characters and colours to use. */
  constructor(stdout: OutputStream, stderr: OutputStream, env: NodeJS.ProcessEnv) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#env = env;
    this.#shown = isUtf8(env) ? (text) => text : inAscii;
  }

  /** Called once the flags are parsed. */
  configure(options: TerminalOptions): void {
    this.#options = options;
  }

  /** Columns for help: the terminal's width within limits, otherwise 100. */
  get helpWidth(): number {
    return Math.min(Math.max(this.#stdout.columns ?? 100, 60), 120);
  }

  /** The sink for progress; always the same one. */
  progress(): ProgressSink {
    const options = this.#options;
    this.#sink ??= new LateSink(() => this.#loadSink(options));
    return this.#sink;
  }

  /** Clears progress bars; nothing is drawn afterwards. */
  async endProgress(): Promise<void> {
    await this.#sink?.close();
  }

  /** Prints a command's result. */
  result(result: CommandResult): void {
    if ('bytes' in result) {
      this.#stdout.write(this.#stdout.isTTY === true ? printable(result.bytes) : result.bytes);
    } else if (this.#options.json) {
      this.#stdout.write(`${jsonText(result.json, this.#stdout.isTTY === true ? 2 : undefined)}\n`);
    } else {
      const lines = this.#options.quiet && result.quiet !== undefined ? result.quiet : result.text;
      this.#print(isTable(lines) ? formatTable(lines) : this.#painted(lines, result.colourOf));
    }
  }

  /** Raw standard output. Throws UsageError when it is a terminal. */
  byteStream(): Writable {
    if (this.#stdout.isTTY === true) {
      throw new UsageError('bytes are not written to a terminal', { hint: 'redirect them to a file or a program' });
    }
    return new Writable({ write: (chunk: Uint8Array, _, done) => void this.#stdout.write(chunk, done) });
  }

  /** Prints imgtool's own text (help, version, completions) unescaped. */
  plain(text: string): void {
    this.#stdout.write(this.#shown(text));
  }

  /** Writes a CI system's workflow commands to stderr. */
  annotate(lines: readonly string[]): void {
    for (const line of lines) this.#stderr.write(`${escapeText(line)}\n`);
  }

  /** Prints a failure on stderr, with the stack only when debugging. */
  async error(report: ErrorReport, cause: unknown): Promise<void> {
    await this.#sink?.written();
    this.#stderr.write(this.#options.json ? `${jsonText(report.json)}\n` : `${this.#alarming(report.text)}\n`);
    if (this.#options.github) {
      const { gitHubError } = await import('./ci/github.js');
      this.annotate([gitHubError(report)]);
    }
    if (this.#options.logLevel === 'debug' && cause instanceof Error && cause.stack !== undefined) {
      this.#stderr.write(`${cause.stack.split('\n').map(escapeText).join('\n')}\n`);
    }
  }

  async #loadSink({ progress: mode, quiet, logLevel }: TerminalOptions): Promise<ClosableSink> {
    const notes = logLevel === 'info' || logLevel === 'debug';
    try {
      const { createProgressSink } = await import('./progress-sink.js');
      return createProgressSink(this.#stderr, { mode, quiet, notes });
    } catch (error) {
      // An upgrade may have replaced the program's files during the run; the work continues.
      this.#stderr.write(`imgtool: warning: progress cannot be shown: ${escapeText((error as Error).message)}\n`);
      return { ...SILENT, close: () => undefined };
    }
  }

  #print(lines: readonly string[]): void {
    if (lines.length > 0) this.#stdout.write(this.#shown(`${lines.join('\n')}\n`));
  }

  #painted(lines: readonly string[], colourOf: TextResult['colourOf']): string[] {
    const isColoured = colourOf !== undefined && wantsColour(this.#stdout, this.#env);
    return lines.map((line) => {
      const colour = isColoured ? colourOf(line) : undefined;
      return colour === undefined ? escapeText(line) : paint(escapeText(line), colour, true);
    });
  }

  /** Colours the failed command red, so that it stands out among progress and notes. */
  #alarming(text: string): string {
    return this.#shown(text).replace(/^imgtool:/, (name) => paint(name, 'red', wantsColour(this.#stderr, this.#env)));
  }
}

function isTable(value: readonly string[] | Table): value is Table {
  return 'columns' in value;
}

/** Escapes terminal control sequences, line by line. */
function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('utf8')
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(escapeText).join('\t'))
    .join('\n');
}
