/**
 * The command line: arguments, rendering, exit codes. Each command parses its arguments, calls a method of `Imgtool`
 * and renders the result. Only `terminal.ts` writes to stdout and stderr. May import `imgtool` and rooms without
 * drivers; only `main.ts` and tests import it.
 */
export * from './ci/code-quality.js';
export * from './ci/github.js';
export * from './ci/junit.js';
export * from './ci/open-metrics.js';
export * from './ci/outcome.js';
export * from './bad-command-line.js';
export * from './command.js';
export * from './completes.js';
export * from './completion/script.js';
export * from './docs.js';
export * from './error-report.js';
export * from './exit-codes.js';
export * from './exit-of-error.js';
export * from './options/global.js';
export * from './json-text.js';
export * from './man-page.js';
export * from './look.js';
export * from './options/option.js';
export * from './options/options.js';
export * from './parse-arguments.js';
export * from './progress-lines.js';
export * from './progress-model.js';
export * from './progress-sink.js';
export * from './run-cli.js';
export * from './table.js';
export * from './terminal.js';
export * from './version.js';
export * from './watch-schedule.js';
export { allCommands } from './commands/index.js';
