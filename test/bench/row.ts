/** What a row of the benchmark is, and how its participants are measured: in turn, A B C, B C A, so that noise meets all alike. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { BenchImage } from './image.js';

/** What rows work with. */
export interface BenchContext {
  /** Launcher of the built program. */
  readonly imgtool: string;
  readonly image: BenchImage;
  /** Small images and few runs, to see that everything works. */
  readonly quick: boolean;
}

/** One figure of one run. */
export interface Sample {
  /** In the row's unit. */
  readonly value: number;
  /** Figures that do not depend on the machine: requests, bytes. */
  readonly counts?: Readonly<Record<string, number>>;
}

/** Something that is measured in a row. `run` prepares, measures and cleans up after itself. */
export interface Participant {
  readonly name: string;
  run(): Promise<Sample>;
}

/** One row: participants that do the same work. The first is imgtool; ratios are taken to the others. */
export interface BenchRow {
  readonly name: string;
  readonly unit: 's' | 'MB';
  /** Runs of each participant unless `--runs` says otherwise. */
  readonly runs: number;
  participants(context: BenchContext): Promise<readonly Participant[]>;
  /** Gives back what `participants` took. */
  finish?(): Promise<void>;
}

/** Result of one participant; `error` when a run failed. */
export interface ParticipantResult {
  readonly name: string;
  readonly values: readonly number[];
  readonly median: number | undefined;
  readonly counts: Readonly<Record<string, number>>;
  readonly error?: string;
}

/** Measures a row, `runs` times each participant in turn. A failed participant is left out of further rounds. */
export async function measureRow(
  row: BenchRow,
  context: BenchContext,
  runs: number,
): Promise<readonly ParticipantResult[]> {
  const participants = await row.participants(context);
  const states = participants.map((participant) => ({
    participant,
    values: [] as number[],
    counts: {},
    error: undefined as string | undefined,
  }));
  try {
    for (let round = 0; round < runs; round++) {
      // Each comes after each other in turn: what one leaves to be written or freed slows the next.
      const first = round % states.length;
      for (const state of [...states.slice(first), ...states.slice(0, first)]) {
        if (state.error !== undefined) continue;
        try {
          const sample = await state.participant.run();
          state.values.push(sample.value);
          Object.assign(state.counts, sample.counts);
        } catch (error) {
          state.error = error instanceof Error ? error.message : String(error);
        }
      }
    }
  } finally {
    await row.finish?.();
  }
  return states.map(({ participant, values, counts, error }) => ({
    name: participant.name,
    values,
    median: median(values),
    counts,
    ...(error === undefined ? {} : { error }),
  }));
}

/** Middle value, or the mean of the two in the middle; undefined of nothing. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** Runs a program without a shell, output dropped; resolves with seconds of wall clock. Throws with its stderr when it fails. */
export async function timeProgram(
  program: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly onStart?: (pid: number) => void } = {},
): Promise<number> {
  const started = process.hrtime.bigint();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...options.env } });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => void (stderr = (stderr + chunk.toString()).slice(-2000)));
  if (child.pid !== undefined) options.onStart?.(child.pid);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code ?? signal}: ${stderr.trim()}`);
  return seconds;
}
