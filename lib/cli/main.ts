import { DiskSpaceError, isDiskFull, systemErrorName } from '../errors.js';
import { EXIT } from './exit-codes.js';
import { jsonText } from './json-text.js';
import { READER_GONE, runCli } from './run-cli.js';

/** Connects the process (arguments, signals, streams) to `runCli`. */
const interruption = new AbortController();

/** True once signals go to a program in the foreground; a signal after its end does not change its exit code. */
let taken = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (taken) return;
    // A second signal exits at once.
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort();
  });
}

/** Signals forwarded to a program in the foreground (docker's `--sig-proxy`), except those that node reserves. */
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

/** Set when results could not be written; lost progress and notes do not count. */
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

/** Reports lost output; the command has failed even if it had already ended. */
async function tellUnwritten(error: NodeJS.ErrnoException): Promise<void> {
  if (process.exitCode !== EXIT.success) return;
  const { reportError } = await import('./error-report.js');
  const report = reportError(outputError(error), 'imgtool');
  process.stderr.write(`${process.argv.includes('--json') ? jsonText(report.json) : report.text}\n`);
  process.exitCode = report.exitCode;
}

/** Runs the command line of this process and exits. */
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
  // Does not wait for idle connections and threads, but flushes stdout.
  await new Promise<void>((resolve) => process.stdout.write('', () => setImmediate(resolve)));
  if (unwritten !== undefined) await tellUnwritten(unwritten);
  else if (interruption.signal.reason === READER_GONE && process.exitCode === EXIT.success)
    process.exitCode = EXIT.readerGone;
  process.exit();
}
