import { EXIT } from './exit-codes.js';
import { READER_GONE, runCli } from './run-cli.js';

/** Entry of the program: joins the process (arguments, signals, streams) to `runCli`. */
const interruption = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // A second signal does not wait for anything.
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort();
  });
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
});

// Ends at once instead of waiting for idle connections and threads; what was printed goes out first.
process.stdout.write('', () => process.exit());
