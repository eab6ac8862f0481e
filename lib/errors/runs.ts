import { ImgtoolError, type ErrorOptions } from './base.js';
import { withoutLogins } from './without-logins.js';

/** A container's command could not be started. `exitCode` as in docker: 127 not found, 126 not executable, 125 otherwise. */
export class ContainerStartError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_CONTAINER_START';
  readonly exitCode: number;
  constructor(message: string, options: ErrorOptions & { readonly exitCode?: 125 | 126 | 127 } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 125;
  }
}

/**
 * A RUN instruction failed. The message starts with `FILE:LINE: `; `text` is that line, `status` the command's exit
 * status, `output` its last lines of output.
 */
export class BuildStepError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_BUILD_STEP';
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly status: number;
  readonly output: readonly string[];
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly file: string;
      readonly line: number;
      readonly text: string;
      readonly status: number;
      readonly output: readonly string[];
    },
  ) {
    super(`${options.file}:${options.line}: ${message}`, options);
    this.file = options.file;
    this.line = options.line;
    this.text = withoutLogins(options.text);
    this.status = options.status;
    this.output = options.output;
  }
}

/** Part of the work succeeded and the rest failed; `failures` has one line each. */
export class PartialError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_PARTIAL';
  readonly failures: readonly string[];
  constructor(message: string, options: ErrorOptions & { readonly failures: readonly string[] }) {
    super(message, options);
    this.failures = options.failures;
  }
}
