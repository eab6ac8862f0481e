import type { Readable, Writable } from 'node:stream';
import type { Imgtool } from '../imgtool/index.js';
import type { ProgressSink } from '../progress/index.js';
import type { Completable } from './completes.js';
import type { Colour } from './look.js';
import type { OptionSpec } from './options/option.js';
import type { Options } from './options/options.js';
import type { Table } from './table.js';

/** One positional argument. */
export interface ArgumentSpec extends Completable {
  /** As help shows it: `IMAGE`. */
  readonly name: string;
  readonly summary: string;
  readonly optional?: boolean;
  /** Takes all that follow. */
  readonly variadic?: boolean;
}

/** The headings of help, in this order. */
export const COMMAND_GROUPS = ['Images', 'Containers', 'Registries', 'Store', 'Other'] as const;

/** How a command is called. */
interface CommandName {
  /** `['images']`, `['store', 'df']`. */
  readonly path: readonly string[];
  /** Other words for it. */
  readonly aliases: readonly string[];
}

/** All paths of a command. */
export function namesOf({ path, aliases }: CommandName): readonly [readonly string[], ...(readonly string[])[]] {
  return [path, ...aliases.map((alias) => [alias])];
}

/** What a command takes and does: parsing, help, completion and docs come from this; `run` does the work. */
export interface CommandTable {
  readonly group: (typeof COMMAND_GROUPS)[number];
  /** One line, no full stop. */
  readonly summary: string;
  /** What else is worth knowing; paragraphs. */
  readonly description?: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  /** Options end at the first argument: what follows belongs to a program. */
  readonly optionsFirst?: boolean;
  /** Options of peers (`-d`, `--detach`) that are refused, and what to do instead. */
  readonly refuses?: Readonly<Record<string, string>>;
  readonly examples: readonly { readonly command: string; readonly does: string }[];
  /** Whether running it again continues where an interrupted run ended. */
  readonly resumes?: boolean;
  /** Resolves with what to print at the end, if anything. */
  readonly run: (context: CommandContext) => Promise<CommandResult | CommandExit | undefined>;
}

/** One command. */
export interface CommandSpec extends CommandName, CommandTable {}

/** A command of which only the name is known; its table is loaded for the command line that calls it. */
export interface CommandEntry extends CommandName {
  readonly load: () => Promise<CommandSpec>;
}

/** What a command is given. */
export interface CommandContext {
  /** Positional arguments in order; absent ones missing at the end, a variadic one spread. */
  readonly args: readonly string[];
  readonly options: Options;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
  /** Prints a result before the end: for what runs until it is interrupted. */
  readonly print: (result: CommandResult) => void;
  /** Tells at once that the command failed for one of its arguments, and resolves with the exit code that stands for it. */
  readonly fail: (argument: string, error: unknown) => Promise<number>;
  /** The bytes of standard input; what reads them closes it. Throws UsageError when it is a terminal. */
  readonly input: () => Readable;
  /** Standard output for bytes as they are, with back-pressure; ending it leaves the process's own open. Throws UsageError when it is a terminal. */
  readonly output: () => Writable;
  /** Asks the user for one line, shown while typed unless `hidden`. Throws UsageError without a terminal, AbortError. */
  readonly ask: (question: string, options: { readonly hidden: boolean }) => Promise<string>;
  /** Passes the process's signals to `handler` instead of ending the command, until the function returned is called. */
  readonly takeSignals: (handler: (signal: NodeJS.Signals) => void) => () => void;
  /** Does the work, with the settings of the command line. */
  readonly imgtool: Imgtool;
}

/** What a command gives back to be printed on stdout. */
export type CommandResult =
  | TextResult
  /** Bytes as they are, whatever the flags say. */
  | { readonly bytes: Uint8Array };

/** An image that a command made, moved or failed to move. */
export interface MadeImage {
  readonly image: string;
  readonly digest?: string | undefined;
  /** `pushed`, `copied`, … */
  readonly did: string;
  /** Bytes sent or received. */
  readonly bytes?: number;
  /** Bytes of its layers, compressed. */
  readonly size?: number;
  /** Why it failed. */
  readonly error?: string | undefined;
}

/** A step of a build. */
interface FinishedStep {
  readonly stage: string;
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly isCached: boolean;
  readonly seconds: number;
}

/** A remark of a rule on a line of a file. */
export interface Finding {
  readonly rule: string;
  readonly message: string;
  readonly file: string;
  readonly line: number;
}

/** A result for people and for programs. */
export interface TextResult {
  /** The document of `--json`. */
  readonly json: unknown;
  /** What people see: lines (escaped by the terminal) or a table. */
  readonly text: readonly string[] | Table;
  /** Lines with `--quiet`; as `text` when absent. */
  readonly quiet?: readonly string[];
  /** What the command made, for CI systems (`--output-format github`, `--report`). */
  readonly made?: readonly MadeImage[];
  /** The same of its steps. */
  readonly steps?: readonly FinishedStep[];
  /** The same of what it found in files. */
  readonly findings?: readonly Finding[];
  /** The colour of a line on a terminal. */
  readonly colourOf?: (line: string) => Colour | undefined;
}

/** Nothing to print, and the exit code of a program that was run. */
export interface CommandExit {
  readonly exitCode: number;
}
