import { DiskSpaceError, isDiskFull, systemErrorName } from '../errors.js';
import { EXIT } from './exit-codes.js';
import { jsonText } from './json-text.js';
import { READER_GONE, runCli } from './run-cli.js';

/** Joins the process (arguments, signals, streams) to `runCli`. */
const interruption = new AbortController();

/** Signals belong to a program that was run in the foreground; one that comes after its end does not change its exit code. */
let taken = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (taken) return;
    // A second signal does not wait for anything.
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort();
  });
}

/** What a program that is run in the foreground gets (docker's `--sig-proxy`), but for those that node keeps to itself. */
const PASSED_ON = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGWINCH',
  'SIGCONT',
] as const;

function takeSignals(handler: (signal: NodeJS.Signals) => void): () => void {
  taken = true;
  for (const signal of PASSED_ON) process.on(signal, handler);
  return () => {
    for (const signal of PASSED_ON) process.off(signal, handler);
  };
}

/** Why results could not be written; what is only told of the work may get lost. */
let unwritten: NodeJS.ErrnoException | undefined;

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return interruption.abort(READER_GONE);
    if (stream === process.stderr) return;
    unwritten ??= error;
    interruption.abort(outputError(error));
  });
}

function outputError(error: NodeJS.ErrnoException): Error {
  const message = `standard output cannot be written: ${systemErrorName(error) ?? error.message}`;
  return isDiskFull(error)
    ? new DiskSpaceError(message, { cause: error, hint: 'free space where the output goes' })
    : new Error(message, { cause: error });
}

/** A command that had ended before its output turned out to be lost has failed all the same. */
async function tellUnwritten(error: NodeJS.ErrnoException): Promise<void> {
  if (process.exitCode !== EXIT.success) return;
  const { reportError } = await import('./error-report.js');
  const report = reportError(outputError(error), 'imgtool');
  process.stderr.write(`${process.argv.includes('--json') ? jsonText(report.json) : report.text}\n`);
  process.exitCode = report.exitCode;
}

/** Runs the command line of this process and ends it. */
export async function main(): Promise<void> {
  process.exitCode = await runCli(process.argv.slice(2), {
    stdin: () => process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: interruption.signal,
    takeSignals,
    onWarning: (handler) => void process.on('warning', handler),
  });
  // Ends at once instead of waiting for idle connections and threads; what was printed goes out first.
  await new Promise<void>((resolve) => process.stdout.write('', () => setImmediate(resolve)));
  if (unwritten !== undefined) await tellUnwritten(unwritten);
  else if (interruption.signal.reason === READER_GONE && process.exitCode === EXIT.success)
    process.exitCode = EXIT.readerGone;
  process.exit();
}
