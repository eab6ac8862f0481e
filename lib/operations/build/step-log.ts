import type { StageInstruction } from '../../dockerfile/index.js';
import type { ProgressSink } from '../../progress/index.js';
import type { StepReport } from './types.js';

/** Output lines shown in an error. */
const KEPT_LINES = 20;
/** Length limit of a line. */
const LONGEST_LINE = 500;

/** Shorter texts would match everywhere. */
const SHORTEST_SECRET = 4;
/** Terminal escape sequences. */
const CONTROL_SEQUENCE = /\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)/g;

/** Position of a step in its Dockerfile. */
interface StepPlace {
  readonly stage: string;
  /** From 1, and the total of the stage. */
  readonly number: number;
  readonly count: number;
  readonly instruction: StageInstruction;
}

/** Reports the progress of a build's steps and collects their results. */
export class StepLog {
  readonly reports: StepReport[] = [];
  readonly #progress: ProgressSink;
  readonly #label: string | undefined;
  /** Number of steps begun, shared with logs of other labels. */
  readonly #begun: { count: number };

  constructor(progress: ProgressSink, { label, begun = { count: 0 } }: StepLogOptions = {}) {
    this.#progress = progress;
    this.#label = label;
    this.#begun = begun;
  }

  /** Creates a log that prefixes stage names with `label`; steps are numbered across both logs. */
  labelled(label: string | undefined): StepLog {
    return new StepLog(this.#progress, { label, begun: this.#begun });
  }

  begin(place: StepPlace): LoggedStep {
    this.#begun.count += 1;
    const stage = this.#label === undefined ? place.stage : `${this.#label} ${place.stage}`;
    return new LoggedStep(
      { ...place, stage },
      {
        id: String(this.#begun.count),
        progress: this.#progress,
        report: (report) => this.reports.push(report),
      },
    );
  }
}

interface StepLogOptions {
  readonly label?: string | undefined;
  readonly begun?: { count: number };
}

/** Receiver of a step's events. */
interface StepSink {
  readonly id: string;
  readonly progress: ProgressSink;
  readonly report: (report: StepReport) => void;
}

/** One step in the log. */
export class LoggedStep {
  /** The last output lines of its command. */
  readonly lines: string[] = [];
  readonly #place: StepPlace;
  readonly #sink: StepSink;
  #begun = performance.now();
  #missed: readonly string[] | undefined;
  #rest = '';
  readonly #decoder = new TextDecoder();
  readonly #secrets: string[] = [];

  constructor(place: StepPlace, sink: StepSink) {
    this.#place = place;
    this.#sink = sink;
  }

  /** Starts the step. `missed`: why it was not cached. */
  run(missed: readonly string[] | undefined): void {
    this.#begun = performance.now();
    this.#missed = missed;
    this.#event({ state: 'active', ...(missed === undefined ? {} : { missed }) });
  }

  cached(): void {
    this.#event({ state: 'cached' });
    this.#report(true);
  }

  done(): void {
    this.#endOutput();
    this.#event({ state: 'done', seconds: this.#seconds() });
    this.#report(false);
  }

  failed(): void {
    this.#endOutput();
    this.#event({ state: 'failed', seconds: this.#seconds() });
  }

  /** `bytes`: size of its layer's blob. */
  packed(bytes: number): void {
    this.#event({ state: 'packed', bytes });
  }

  /** Replaces these texts with `***` in the output, because a command may print its secrets. */
  hide(secrets: readonly string[]): void {
    for (const line of secrets.flatMap((text) => text.split(/\r?\n/)))
      if (line.trim().length >= SHORTEST_SECRET) this.#secrets.push(line.trim());
  }

  /** Takes output of its command in chunks of any size. */
  output(chunk: Buffer): void {
    const text = this.#rest + this.#decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    this.#rest = lines.pop() ?? '';
    // Bounds the memory for a line without an end.
    if (this.#rest.length > LONGEST_LINE * 100) lines.push(this.#rest.slice(0, LONGEST_LINE));
    if (this.#rest.length > LONGEST_LINE * 100) this.#rest = '';
    for (const line of lines) this.#line(line);
  }

  #endOutput(): void {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = '';
    if (rest !== '') this.#line(rest);
  }

  #line(line: string): void {
    // Keeps only the last state of a redrawn progress bar, and drops colours and tabs.
    let shown = (line.replace(/\r$/, '').split('\r').at(-1) ?? '')
      .replace(CONTROL_SEQUENCE, '')
      .replaceAll('\t', '    ');
    for (const secret of this.#secrets) shown = shown.replaceAll(secret, '***');
    shown = shown.slice(0, LONGEST_LINE);
    this.lines.push(shown);
    if (this.lines.length > KEPT_LINES) this.lines.shift();
    this.#event({ state: 'output', output: shown });
  }

  #seconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  #report(cached: boolean): void {
    const { stage, instruction } = this.#place;
    this.#sink.report({
      stage,
      file: instruction.file,
      line: instruction.start.line,
      text: instruction.text,
      cached,
      seconds: cached ? 0 : this.#seconds(),
      ...(this.#missed === undefined ? {} : { missed: this.#missed }),
    });
  }

  #event(
    event: Omit<Parameters<NonNullable<ProgressSink['step']>>[0], 'v' | 'kind' | 'step' | keyof StepPlace | 'text'>,
  ): void {
    const { stage, number, count, instruction } = this.#place;
    const step = this.#sink.id;
    this.#sink.progress.step?.({ v: 1, kind: 'step', step, stage, number, count, text: instruction.text, ...event });
  }
}
