import type { Writable } from 'node:stream';
import { UsageError, withoutLogins } from '../errors.js';
import type { TerminalInput } from './ask.js';
import { BadCommandLineError } from './bad-command-line.js';
import { namesOf, type CommandContext, type CommandResult, type CommandSpec, type TextResult } from './command.js';
import { allCommands } from './commands/index.js';
import { COMPLETION_REQUEST } from './completion/script.js';
import type { ErrorReport } from './error-report.js';
import { configPaths, readConfigFiles, type ConfigFile } from './config-file.js';
import { EXIT } from './exit-codes.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { Options, resolveOption, type OptionSources } from './options/options.js';
import { parseArguments } from './parse-arguments.js';
import type { ProgressMode } from './progress-sink.js';
import { Terminal, type LogLevel } from './terminal.js';
import type { OutputStream } from './output-stream.js';

/** The parts of the process that the program uses. */
interface ProcessIo {
  /** Opened on first use; absent when there is no standard input. */
  readonly stdin?: () => TerminalInput;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: NodeJS.ProcessEnv;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  /** See `CommandContext`; without it signals are never forwarded. */
  readonly takeSignals?: CommandContext['takeSignals'];
  /** Registers a handler for node's warnings; used only for debugging. */
  readonly onWarning?: (handler: (warning: Error) => void) => void;
}

/** Reason for aborting `ProcessIo.signal` when the output's reader has closed (`| head`): clean up silently. */
export const READER_GONE = new DOMException('the output is no longer read', 'AbortError');

/** Runs one command line (without node and script). Resolves with the exit code; never rejects. */
export async function runCli(argv: readonly string[], io: ProcessIo): Promise<number> {
  const terminal = new Terminal(io.stdout, io.stderr, io.env);
  if (argv[0] === COMPLETION_REQUEST) {
    const { completionAnswer } = await import('./completion/complete.js');
    terminal.plain(await completionAnswer(argv.slice(1), { commands: await allCommands(), env: io.env }));
    return EXIT.success;
  }
  // Errors in the flags themselves must already use the requested format.
  terminal.configure({
    json: wantsJson(argv, io.env),
    quiet: false,
    progress: 'none',
    logLevel: 'error',
    github: wantsGitHub(argv, io.env),
  });
  let what = 'imgtool';
  let resumes = false;
  const told: Told = { command: '', reports: [], result: undefined, errors: [] };
  const started = performance.now();
  let exitCode: number;
  try {
    const invocation = await parseArguments(argv, terminal.helpWidth);
    if (invocation.kind === 'print') {
      terminal.plain(invocation.text);
      return EXIT.success;
    }
    const { command, args, flags } = invocation;
    resumes = command.resumes === true;
    what = [...command.path, ...args.slice(0, 3).map((arg) => arg.slice(0, 200))].join(' ');
    const files = await readConfigFiles(configPaths(io.env));
    if (files.length > 0) {
      const { checkConfigFile } = await import('./check-config-file.js');
      const commands = await allCommands();
      for (const file of files) checkConfigFile(file, commands);
    }
    const options = resolveOptions(command, { flags, env: io.env, files });
    told.command = command.path.join(' ');
    told.reports = options.list('report');
    terminal.configure({
      json: options.flag('json'),
      quiet: options.flag('quiet'),
      progress: options.text('progress') as ProgressMode,
      logLevel: options.text('log-level') as LogLevel,
      github: options.text('output-format') === 'github',
    });
    if (options.text('log-level') === 'debug') {
      io.onWarning?.(({ name, message }) => terminal.progress().note(`node: ${name}: ${message}`));
    }
    checkChoices(command, args);
    if (Object.keys(io.env).some((name) => name.startsWith('IMGTOOL_'))) {
      const { misspeltVariables } = await import('./unknown-variables.js');
      for (const line of await misspeltVariables(io.env, command)) terminal.progress().note(line);
    }
    exitCode = await runCommand(command, args, options, files, io, terminal, told);
  } catch (error) {
    await terminal.endProgress();
    if (io.signal.reason === READER_GONE) exitCode = EXIT.readerGone;
    else {
      const { reportError } = await import('./error-report.js');
      const report = reportError(
        io.signal.aborted ? io.signal.reason : error,
        error instanceof BadCommandLineError ? error.what : what,
        { resumes },
      );
      await terminal.error(report, error);
      told.errors.push(report);
      exitCode = report.exitCode;
    }
  }
  // Closing connections and the store may emit events.
  await terminal.endProgress();
  const seconds = (performance.now() - started) / 1000;
  return writeReports(terminal, told, { title: withoutLogins(what), exitCode, seconds });
}

/** The outcome that `--report` describes. */
interface Told {
  command: string;
  reports: readonly string[];
  result: TextResult | undefined;
  readonly errors: ErrorReport[];
}

/** Resolves with the command's exit code, or, if the command succeeded, with that of a report that cannot be written. */
async function writeReports(
  terminal: Terminal,
  { reports, ...told }: Told,
  end: { readonly title: string; readonly exitCode: number; readonly seconds: number },
): Promise<number> {
  if (reports.length === 0) return end.exitCode;
  const reporting = await import('./ci/reports.js');
  try {
    await reporting.writeReports(reports, { ...told, ...end });
    return end.exitCode;
  } catch (error) {
    const { reportError } = await import('./error-report.js');
    const report = reportError(error, end.title);
    await terminal.error(report, error);
    return end.exitCode === EXIT.success ? report.exitCode : end.exitCode;
  }
}

async function runCommand(
  command: CommandSpec,
  args: readonly string[],
  options: Options,
  files: readonly ConfigFile[],
  { signal, stdin, stderr, env, takeSignals = () => () => undefined }: ProcessIo,
  terminal: Terminal,
  told: Told,
): Promise<number> {
  const progress = terminal.progress();
  const { imgtoolFor } = await import('./imgtool-for.js');
  const imgtool = imgtoolFor(options, { files, progress, env, signal });
  try {
    const github = options.text('output-format') === 'github' ? await import('./ci/github.js') : undefined;
    const print = (result: CommandResult): void => {
      terminal.result(result);
      if (!('text' in result)) return;
      told.result = result;
      if (github === undefined) return;
      github.tellGitHub(command.path.join(' '), result.made ?? [], env);
      terminal.annotate((result.findings ?? []).map(github.gitHubWarning));
    };
    const fail: CommandContext['fail'] = async (argument, error) => {
      const cause = signal.aborted ? (signal.reason as unknown) : await imgtool.explained(error);
      const { reportError } = await import('./error-report.js');
      const report = reportError(cause, [...command.path, argument.slice(0, 200)].join(' '), command);
      await terminal.error(report, cause);
      told.errors.push(report);
      return report.exitCode;
    };
    const input = (): TerminalInput => byteInput(stdin);
    const output = (): Writable => terminal.byteStream();
    const ask: CommandContext['ask'] = async (question, { hidden }) => {
      const { ask: askUser } = await import('./ask.js');
      return askUser(question, { input: stdin?.(), output: stderr, hidden, signal });
    };
    const context = { args, options, signal, progress, print, fail, input, output, ask, takeSignals, imgtool };
    const result = await command.run(context);
    await terminal.endProgress();
    if (result !== undefined && 'exitCode' in result) return result.exitCode;
    if (result !== undefined) print(result);
    return EXIT.success;
  } catch (error) {
    throw await imgtool.explained(error);
  } finally {
    await imgtool.close();
  }
}

function byteInput(stdin: ProcessIo['stdin']): TerminalInput {
  const stream = stdin?.();
  if (stream === undefined || stream.isTTY === true) {
    throw new UsageError('standard input is a terminal', { hint: 'redirect it from a file or a program' });
  }
  return stream;
}

function resolveOptions(command: CommandSpec, sources: OptionSources): Options {
  return new Options(
    [...GLOBAL_OPTIONS, ...command.options].map((spec) => resolveOption(spec, namesOf(command), sources)),
  );
}

function checkChoices(command: CommandSpec, args: readonly string[]): void {
  for (const [index, { name, choices }] of command.arguments.entries()) {
    const arg = args[index];
    if (arg === undefined || choices === undefined || choices.includes(arg)) continue;
    throw new UsageError(`${name} cannot be ${JSON.stringify(arg.slice(0, 100))}`, {
      hint: `choose one of ${choices.join(', ')}`,
    });
  }
}

function wantsGitHub(argv: readonly string[], env: NodeJS.ProcessEnv): boolean {
  const text = ` ${argv.join(' ')} `;
  return / --output-format[= ]github /.test(text) || env.IMGTOOL_OUTPUT_FORMAT === 'github';
}

function wantsJson(argv: readonly string[], env: NodeJS.ProcessEnv): boolean {
  const end = argv.indexOf('--');
  const flags = end < 0 ? argv : argv.slice(0, end);
  return (
    flags.includes('--json') || (/^(1|true|yes|on)$/i.test(env.IMGTOOL_JSON ?? '') && !flags.includes('--json=false'))
  );
}
