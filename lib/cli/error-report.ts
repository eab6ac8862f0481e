import { BuildStepError, DockerfileError, ImgtoolError, withoutLogins } from '../errors.js';
import { asKnownError } from './known-error.js';
import { escapeText } from '../util/index.js';
import { exitCodeOf, isAbort } from './exit-of-error.js';

/** The text and JSON of one failure. */
export interface ErrorReport {
  readonly exitCode: number;
  /** Text without a final newline: `imgtool: WHAT failed: WHY`, then `hint: …` if there is a hint. */
  readonly text: string;
  /** The document of `--json`. */
  readonly json: { readonly error: Readonly<Record<string, unknown>> };
}

/** Fields that are reported elsewhere, or that are too long for one line. */
const NOT_FACTS: ReadonlySet<string> = new Set(['code', 'hint', 'message', 'name', 'stack', 'cause']);

/**
 * Renders an error. `what`: the failed work, such as `pull alpine`, or `imgtool` when no command was understood.
 * `resumes`: true when a second run continues an interrupted one.
 */
export function reportError(thrown: unknown, what: string, { resumes = false } = {}): ErrorReport {
  const error = asKnownError(thrown);
  const exitCode = exitCodeOf(error);
  const command = withoutLogins(what);
  const message = messageOf(error);
  const hint = hintOf(error, resumes);
  const known = error instanceof ImgtoolError;
  const code = known ? error.code : isAbort(error) ? 'ABORT_ERR' : 'ERR_IMGTOOL_UNEXPECTED';
  const facts = known ? Object.entries(error).filter(([key, value]) => !NOT_FACTS.has(key) && value !== undefined) : [];
  const shown = facts.map(([key, value]) => [
    key,
    typeof value === 'string' ? withoutLogins(value) : (value as unknown),
  ]);
  return {
    exitCode,
    text:
      `imgtool: ${what === 'imgtool' ? '' : `${escapeText(command)} failed: `}${escapeText(message)}` +
      sourceLineOf(error) +
      (hint === undefined ? '' : `\nhint: ${escapeText(hint)}`),
    json: {
      error: {
        code,
        message,
        ...(hint === undefined ? {} : { hint }),
        command,
        exitCode,
        ...(Object.fromEntries(shown) as Record<string, unknown>),
      },
    },
  };
}

/** The Dockerfile line that an error is about and the last output of its command, for below the message. */
function sourceLineOf(error: unknown): string {
  if (!(error instanceof DockerfileError || error instanceof BuildStepError)) return '';
  const { line, text } = error;
  const lines = line === undefined || text === undefined ? [] : [`  ${line} | ${text.slice(0, 200)}`];
  if (error instanceof BuildStepError) lines.push(...error.output.map((one) => `    | ${withoutLogins(one)}`));
  return lines.map((one) => `\n${escapeText(one)}`).join('');
}

function messageOf(error: unknown): string {
  if (isAbort(error)) return 'interrupted';
  const text = error instanceof Error ? error.message : String(error);
  return withoutLogins(text.split('\n', 1)[0]!.trim()) || 'unknown error';
}

function hintOf(error: unknown, resumes: boolean): string | undefined {
  if (error instanceof ImgtoolError) return error.hint;
  if (isAbort(error)) return resumes ? 'finished work is kept: run the same command again to continue' : undefined;
  return 'this is unexpected: run again with --log-level debug for the details, and report it';
}
