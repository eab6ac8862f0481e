import type { ErrorReport } from '../error-report.js';
import type { TextResult } from '../command.js';

/** A command that ended, as reports for CI systems tell it. */
export interface Outcome {
  /** Words that call it: `store df`. */
  readonly command: string;
  /** The command with its arguments. */
  readonly title: string;
  /** The last thing that it printed; undefined: nothing. */
  readonly result: Pick<TextResult, 'made' | 'steps' | 'findings'> | undefined;
  readonly errors: readonly ErrorReport[];
  readonly exitCode: number;
  readonly seconds: number;
}
