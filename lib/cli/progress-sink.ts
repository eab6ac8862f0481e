import type { ProgressEvent, ProgressSink, StepEvent } from '../progress/index.js';
import { escapeText } from '../util/index.js';
import { barLine, finishedLine, isFinished, totalLine, totalText } from './progress-lines.js';
import { isFinal, ProgressModel, type ProgressItem } from './progress-model.js';
import { RunningSteps, stepLines } from './step-lines.js';
import { jsonText } from './json-text.js';
import type { OutputStream } from './output-stream.js';

/** `--progress`. */
export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'none';

/** A sink that draws; `close` clears the screen and stops its timers. */
export type ClosableSink = ProgressSink & { close(): void };

const REDRAW_MS = 100;
const SUMMARY_MS = 10_000;

/** Creates the sink for a mode. `notes`: print one-line remarks. */
export function createProgressSink(
  stream: OutputStream,
  { mode, quiet, notes }: { readonly mode: ProgressMode; readonly quiet: boolean; readonly notes: boolean },
): ClosableSink {
  const say = notes && !quiet;
  const shown = quiet ? 'none' : mode === 'auto' ? (stream.isTTY === true ? 'tty' : 'plain') : mode;
  switch (shown) {
    case 'tty':
      return new BarSink(stream, say);
    case 'plain':
      return new PlainSink(stream, say);
    case 'json':
      return {
        event: (event) => void stream.write(`${jsonText(event)}\n`),
        step: (event) => void stream.write(`${jsonText(event)}\n`),
        note: (message) => {
          if (say) stream.write(`${jsonText({ v: 1, kind: 'note', message })}\n`);
        },
        close: () => undefined,
      };
    case 'none':
      return { event: () => undefined, note: say ? noteTo(stream) : () => undefined, close: () => undefined };
  }
}

function noteTo(stream: OutputStream): (message: string) => void {
  return (message) => void stream.write(`imgtool: ${escapeText(message)}\n`);
}

/** Log lines: one for each finished layer, and one every ten seconds in between. */
class PlainSink implements ClosableSink {
  readonly #stream: OutputStream;
  readonly #model = new ProgressModel();
  readonly #finished = new Set<string>();
  readonly note: (message: string) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: OutputStream, say: boolean) {
    this.#stream = stream;
    this.note = say ? noteTo(stream) : () => undefined;
  }

  event(event: ProgressEvent): void {
    const item = this.#model.take(event, performance.now());
    this.#timer ??= setInterval(() => this.#summary(), SUMMARY_MS).unref();
    if (event.kind === 'manifest' || event.kind === 'config') return;
    if (event.state === 'retrying') this.#line(`${item.digest.slice(0, 19)}: ${event.message ?? 'trying again'}`);
    if (!isFinished(item) || this.#finished.has(item.digest)) return;
    this.#finished.add(item.digest);
    this.#line(finishedLine(item));
  }

  step(event: StepEvent): void {
    for (const line of stepLines(event)) this.#stream.write(`${line}\n`);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #summary(): void {
    const totals = this.#model.totals(performance.now());
    const working = [...this.#model.items.values()].filter(({ state }) => state === 'active').length;
    this.#line(`${totalText(totals)}; ${working} at work`);
  }

  #line(text: string): void {
    this.#stream.write(`${escapeText(text)}\n`);
  }
}

/** Bars on a terminal, one line per layer, redrawn in place at most ten times a second. */
class BarSink implements ClosableSink {
  readonly #stream: OutputStream;
  readonly #say: boolean;
  readonly #model = new ProgressModel();
  readonly #steps = new RunningSteps();
  #drawn: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(stream: OutputStream, say: boolean) {
    this.#stream = stream;
    this.#say = say;
  }

  event(event: ProgressEvent): void {
    if (this.#closed || event.kind === 'manifest' || event.kind === 'config') return;
    this.#model.take(event, performance.now());
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  step(event: StepEvent): void {
    if (this.#closed) return;
    const lines = this.#steps.take(event, performance.now());
    if (lines.length > 0) {
      this.#stream.write(`${this.#eraser(this.#stream.columns ?? 80)}${lines.map((line) => `${line}\n`).join('')}`);
      this.#drawn = [];
    }
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  note(message: string): void {
    if (!this.#say) return;
    const columns = this.#stream.columns ?? 80;
    this.#stream.write(`${this.#eraser(columns)}imgtool: ${escapeText(message)}\n`);
    this.#drawn = [];
    if (this.#timer !== undefined && !this.#closed) this.#draw(columns);
  }

  close(): void {
    if (this.#closed) return;
    clearInterval(this.#timer);
    if (this.#timer !== undefined) this.#draw();
    this.#closed = true;
  }

  #draw(columns = this.#stream.columns ?? 80): void {
    const rows = Math.max((this.#stream.rows ?? 24) - 2, 3);
    const steps = this.#steps.lines(columns - 1, performance.now()).slice(-rows);
    const lines = [...this.#lines(columns - 1, Math.max(rows - steps.length, 3)), ...steps];
    this.#stream.write(this.#eraser(columns) + lines.map((line) => `${line}\n`).join(''));
    this.#drawn = lines;
  }

  /** Lines that fit the screen; active items come before finished and queued ones. */
  #lines(columns: number, rows: number): string[] {
    const now = performance.now();
    const items = [...this.#model.items.values()];
    const total = items.length > 1 ? [totalLine(this.#model.totals(now), columns)] : [];
    const room = rows - total.length;
    if (items.length <= room) return [...items.map((item) => barLine(item, columns, now)), ...total];
    const chosen = new Set(items.toSorted((a, b) => urgency(a) - urgency(b)).slice(0, room - 1));
    const hidden = `... ${items.length - chosen.size} more`.slice(0, columns);
    return [...items.filter((item) => chosen.has(item)).map((item) => barLine(item, columns, now)), hidden, ...total];
  }

  /**
   * Erases the lines drawn before: cursor up, erase to the end. A terminal that has since become narrower wraps those
   * lines into several rows.
   */
  #eraser(columns: number): string {
    const rows = this.#drawn.reduce((sum, line) => sum + Math.max(Math.ceil(line.length / Math.max(columns, 1)), 1), 0);
    return rows === 0 ? '' : `\x1b[${rows}A\r\x1b[J`;
  }
}

function urgency(item: ProgressItem): number {
  return item.state === 'active' || item.state === 'retrying' ? 0 : isFinal(item.state) ? 2 : 1;
}
