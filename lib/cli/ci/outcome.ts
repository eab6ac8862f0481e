import type { ErrorReport } from '../error-report.js';
import type { TextResult } from '../command.js';

/** A finished command, as CI reports describe it. */
export interface Outcome {
  /** Name of the command: `store df`. */
  readonly command: string;
  /** The command and its arguments. */
  readonly title: string;
  /** The last result printed, if any. */
  readonly result: Pick<TextResult, 'made' | 'steps' | 'findings'> | undefined;
  readonly errors: readonly ErrorReport[];
  readonly exitCode: number;
  readonly seconds: number;
}
