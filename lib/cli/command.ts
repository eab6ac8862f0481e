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
  /** Name in help: `IMAGE`. */
  readonly name: string;
  readonly summary: string;
  readonly optional?: boolean;
  /** Takes all remaining arguments. */
  readonly variadic?: boolean;
}

/** The headings of help, in order. */
export const COMMAND_GROUPS = ['Images', 'Containers', 'Registries', 'Store', 'Other'] as const;

/** The names of a command. */
interface CommandName {
  /** `['images']`, `['store', 'df']`. */
  readonly path: readonly string[];
  /** Alternative names. */
  readonly aliases: readonly string[];
}

/** All paths of a command. */
export function namesOf({ path, aliases }: CommandName): readonly [readonly string[], ...(readonly string[])[]] {
  return [path, ...aliases.map((alias) => [alias])];
}

/** Definition of a command. Parsing, help, completion and docs are derived from it; `run` does the work. */
export interface CommandTable {
  readonly group: (typeof COMMAND_GROUPS)[number];
  /** One line, no full stop. */
  readonly summary: string;
  /** Further paragraphs for help and docs. */
  readonly description?: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  /** Options end at the first argument; the rest belongs to a program. */
  readonly optionsFirst?: boolean;
  /** Options of other tools (`-d`, `--detach`) that are refused, with the alternative. */
  readonly refuses?: Readonly<Record<string, string>>;
  readonly examples: readonly { readonly command: string; readonly does: string }[];
  /** True when a second run continues an interrupted one. */
  readonly resumes?: boolean;
  /** Resolves with the output to print at the end, if any. */
  readonly run: (context: CommandContext) => Promise<CommandResult | CommandExit | undefined>;
}

export interface CommandSpec extends CommandName, CommandTable {}

/** A command whose definition is loaded only when it is called. */
export interface CommandEntry extends CommandName {
  readonly load: () => Promise<CommandSpec>;
}

export interface CommandContext {
  /** Positional arguments in order, variadic ones spread; missing trailing arguments are left out. */
  readonly args: readonly string[];
  readonly options: Options;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
  /** Prints a result early; for commands that run until interrupted. */
  readonly print: (result: CommandResult) => void;
  /** Reports at once that one argument failed, and resolves with the matching exit code. */
  readonly fail: (argument: string, error: unknown) => Promise<number>;
  /** The bytes of standard input; the reader closes it. Throws UsageError when it is a terminal. */
  readonly input: () => Readable;
  /** Raw standard output with back-pressure; ending it leaves the process's stdout open. Throws UsageError when it is a terminal. */
  readonly output: () => Writable;
  /** Asks the user for one line, echoed unless `hidden`. Throws UsageError without a terminal, AbortError when cancelled. */
  readonly ask: (question: string, options: { readonly hidden: boolean }) => Promise<string>;
  /** Passes the process's signals to `handler` instead of ending the command. The returned function ends this. */
  readonly takeSignals: (handler: (signal: NodeJS.Signals) => void) => () => void;
  /** The library, configured from the command line. */
  readonly imgtool: Imgtool;
}

/** Output of a command for stdout. */
export type CommandResult =
  | TextResult
  /** Raw bytes, whatever the flags. */
  | { readonly bytes: Uint8Array };

/** An image that a command created, transferred or failed to transfer. */
export interface MadeImage {
  readonly image: string;
  readonly digest?: string | undefined;
  /** Past tense of the action: `pushed`, `copied`, … */
  readonly did: string;
  /** Bytes sent or received. */
  readonly bytes?: number;
  /** Compressed size of its layers in bytes. */
  readonly size?: number;
  /** The reason of a failure. */
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

/** A linter's finding in a file. */
export interface Finding {
  readonly rule: string;
  readonly message: string;
  readonly file: string;
  readonly line: number;
}

/** A result in text and JSON. */
export interface TextResult {
  /** The document of `--json`. */
  readonly json: unknown;
  /** Text output: lines (escaped by the terminal) or a table. */
  readonly text: readonly string[] | Table;
  /** Lines with `--quiet`; defaults to `text`. */
  readonly quiet?: readonly string[];
  /** Images that the command created, for CI systems (`--output-format github`, `--report`). */
  readonly made?: readonly MadeImage[];
  /** Build steps, for the same reports. */
  readonly steps?: readonly FinishedStep[];
  /** Findings in files, for the same reports. */
  readonly findings?: readonly Finding[];
  /** Colour of a line on a terminal. */
  readonly colourOf?: (line: string) => Colour | undefined;
}

/** No output, only the exit code of a program that was run. */
export interface CommandExit {
  readonly exitCode: number;
}
