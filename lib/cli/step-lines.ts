import type { StepEvent } from '../progress/index.js';
import { escapeText, formatSize } from '../util/index.js';
import { formatSeconds } from './progress-lines.js';

/** Output lines shown for each step on a terminal. */
const SHOWN_LINES = 5;

/** `[build 2/5] RUN make`, escaped. */
function stepTitle({ stage, number, count, text }: StepEvent): string {
  return escapeText(`[${stage} ${number}/${count}] ${text}`);
}

/** Log lines for one event, possibly none. */
export function stepLines(event: StepEvent): string[] {
  const title = stepTitle(event);
  const { state, missed, output = '', stage, number } = event;
  switch (state) {
    case 'active':
      return missed === undefined ? [title] : [title, ...missed.map((why) => `  not in the cache: ${escapeText(why)}`)];
    case 'cached':
      return [`${title}  CACHED`];
    case 'output':
      return [escapeText(`[${stage} ${number}] ${output}`)];
    case 'done':
      return [`[${escapeText(stage)} ${number}] done in ${duration(event)}`];
    case 'packed':
      return [`[${escapeText(stage)} ${number}] layer of ${formatSize(event.bytes ?? 0)}`];
    case 'failed':
      return [`[${escapeText(stage)} ${number}] FAILED after ${duration(event)}`];
  }
}

/** The running steps with their last lines of output, redrawn in place on a terminal. */
export class RunningSteps {
  readonly #running = new Map<
    string,
    { readonly event: StepEvent; readonly since: number; readonly lines: string[] }
  >();

  /** Takes an event; returns the lines that stay on the screen. `now` in ms. */
  take(event: StepEvent, now: number): string[] {
    const step = this.#running.get(event.step);
    switch (event.state) {
      case 'active':
        this.#running.set(event.step, { event, since: now, lines: [] });
        return (event.missed ?? []).map((why) => `${stepTitle(event)}  not in the cache: ${escapeText(why)}`);
      case 'output':
        step?.lines.push(escapeText(event.output ?? ''));
        if (step !== undefined && step.lines.length > SHOWN_LINES) step.lines.shift();
        return [];
      case 'cached':
        return [`${stepTitle(event)}  CACHED`];
      case 'done':
      case 'failed':
        this.#running.delete(event.step);
        return [`${stepTitle(event)}  ${event.state === 'failed' ? 'FAILED ' : ''}${duration(event)}`];
      case 'packed':
        return [];
    }
  }

  /** The lines to redraw, at most `columns` wide. */
  lines(columns: number, now: number): string[] {
    return [...this.#running.values()].flatMap(({ event, since, lines }) =>
      [`${stepTitle(event)}  ${formatSeconds((now - since) / 1000)}`, ...lines.map((line) => `  ${line}`)].map((line) =>
        line.slice(0, columns),
      ),
    );
  }
}

function duration({ seconds = 0 }: StepEvent): string {
  return seconds < 10 ? `${seconds.toFixed(1)}s` : formatSeconds(seconds);
}
