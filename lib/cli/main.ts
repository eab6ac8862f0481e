import { EXIT } from './exit-codes.js';
import { READER_GONE, runCli } from './run-cli.js';

/** Entry of the program: joins the process (arguments, signals, streams) to `runCli`. */
const interruption = new AbortController();

const handlers: ((signal: NodeJS.Signals) => void)[] = [];

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (handlers.length > 0) return;
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
  handlers.push(handler);
  for (const signal of PASSED_ON) process.on(signal, handler);
  return () => {
    handlers.splice(handlers.indexOf(handler), 1);
    for (const signal of PASSED_ON) process.off(signal, handler);
  };
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    interruption.abort(READER_GONE);
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interruption.signal,
  takeSignals,
});

// Ends at once instead of waiting for idle connections and threads; what was printed goes out first.
process.stdout.write('', () => process.exit());
