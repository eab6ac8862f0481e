import { BuildStepError, DockerfileError, ImgtoolError, withoutLogins } from '../errors.js';
import { asKnownError } from './known-error.js';
import { escapeText } from '../util/index.js';
import { exitCodeOf, isAbort } from './exit-of-error.js';

/** How one failure is told. */
export interface ErrorReport {
  readonly exitCode: number;
  /** For people, without a final newline: `imgtool: WHAT failed: WHY`, then `hint: …` where there is one. */
  readonly text: string;
  /** For programs: the document of `--json`. */
  readonly json: { readonly error: Readonly<Record<string, unknown>> };
}

/** Facts that are said otherwise already, or that are too long for one line. */
const NOT_FACTS: ReadonlySet<string> = new Set(['code', 'hint', 'message', 'name', 'stack', 'cause']);

/**
 * Puts an error in words. `what`: the work that failed, such as `pull alpine`; `imgtool` where no command was understood.
 * `resumes`: whether running it again continues where an interrupted run ended.
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

/** The line of a Dockerfile that an error is about, and what its command wrote last, for below the message. */
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
