import { Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import type { ProgressSink } from '../progress/index.js';
import { escapeText } from '../util/index.js';
import type { CommandResult } from './command.js';
import type { ErrorReport } from './error-report.js';
import type { OutputStream } from './output-stream.js';
import { createProgressSink, type ProgressMode } from './progress-sink.js';
import { jsonText } from './json-text.js';
import { formatTable, type Table } from './table.js';

/** How much is said on stderr. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** What the flags say about output. */
export interface TerminalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly progress: ProgressMode;
  readonly logLevel: LogLevel;
}

/** The only place that writes to stdout and stderr: results to one, everything else to the other. */
export class Terminal {
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  #options: TerminalOptions = { json: false, quiet: false, progress: 'none', logLevel: 'info' };
  #sink: (ProgressSink & { close(): void }) | undefined;

  constructor(stdout: OutputStream, stderr: OutputStream) {
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** Called once the flags are known. */
  configure(options: TerminalOptions): void {
    this.#options = options;
  }

  /** Columns for help: those of the terminal within reason, 100 elsewhere. */
  get helpWidth(): number {
    return Math.min(Math.max(this.#stdout.columns ?? 100, 60), 120);
  }

  /** Where work tells its progress; the same one on every call. */
  progress(): ProgressSink {
    const { progress, quiet, logLevel } = this.#options;
    this.#sink ??= createProgressSink(this.#stderr, {
      mode: progress,
      quiet,
      notes: logLevel === 'info' || logLevel === 'debug',
    });
    return this.#sink;
  }

  /** Takes bars off the screen; nothing is drawn after it. */
  endProgress(): void {
    this.#sink?.close();
  }

  /** Prints what a command gave back. */
  result(result: CommandResult): void {
    if ('bytes' in result) {
      this.#stdout.write(this.#stdout.isTTY === true ? printable(result.bytes) : result.bytes);
    } else if (this.#options.json) {
      this.#stdout.write(`${jsonText(result.json, this.#stdout.isTTY === true ? 2 : undefined)}\n`);
    } else {
      const lines = this.#options.quiet && result.quiet !== undefined ? result.quiet : result.text;
      this.#print(isTable(lines) ? formatTable(lines) : lines.map(escapeText));
    }
  }

  /** Standard output for bytes as they are. Throws UsageError when it is a terminal. */
  byteStream(): Writable {
    if (this.#stdout.isTTY === true) {
      throw new UsageError('bytes are not written to a terminal', { hint: 'redirect them to a file or a program' });
    }
    return new Writable({ write: (chunk: Uint8Array, _, done) => void this.#stdout.write(chunk, done) });
  }

  /** Prints text of our own (help, version, completion scripts) as it is. */
  plain(text: string): void {
    this.#stdout.write(text);
  }

  /** Tells a failure on stderr; the stack only when debugging. */
  error(report: ErrorReport, cause: unknown): void {
    this.#stderr.write(this.#options.json ? `${jsonText(report.json)}\n` : `${report.text}\n`);
    if (this.#options.logLevel === 'debug' && cause instanceof Error && cause.stack !== undefined) {
      this.#stderr.write(`${cause.stack.split('\n').map(escapeText).join('\n')}\n`);
    }
  }

  #print(lines: readonly string[]): void {
    if (lines.length > 0) this.#stdout.write(`${lines.join('\n')}\n`);
  }
}

function isTable(value: readonly string[] | Table): value is Table {
  return 'columns' in value;
}

/** Bytes for a terminal: line by line, what it would obey is escaped. */
function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('utf8')
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(escapeText).join('\t'))
    .join('\n');
}
