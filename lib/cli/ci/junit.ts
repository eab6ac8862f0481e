import type { ErrorReport } from '../error-report.js';
import type { Outcome } from './outcome.js';

interface Case {
  readonly group: string;
  readonly name: string;
  readonly seconds?: number;
  /** `file` and `line` of the test case. */
  readonly place?: Readonly<Record<string, string | number>>;
  readonly output?: string;
  readonly failure?: string;
}

/**
 * JUnit XML, which GitLab, Jenkins and others show: a test case for each build step or image and for an error, or one
 * for the command if there are none.
 */
export function junitText(outcome: Outcome): string {
  const { command, seconds } = outcome;
  const cases = casesOf(outcome);
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const counts = attributes({ tests: cases.length, failures, errors: 0, skipped: 0, time: seconds.toFixed(3) });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite ${attributes({ name: `imgtool ${command}` })} ${counts}>`,
    ...cases.map(caseText),
    '  </testsuite>',
    '</testsuites>\n',
  ].join('\n');
}

function casesOf({ command, title, result, errors, exitCode, seconds }: Outcome): Case[] {
  const steps = (result?.steps ?? []).map(({ stage, name, isCached, ...step }): Case => ({
    group: `${command}.${stage}`,
    name,
    seconds: step.seconds,
    place: { file: step.file, line: step.line },
    ...(isCached ? { output: 'taken from the cache' } : {}),
  }));
  const images = (result?.made ?? []).map(({ image, did, error }): Case => ({
    group: command,
    name: image,
    output: did,
    ...(error === undefined ? {} : { failure: error }),
  }));
  const done = steps.length > 0 ? steps : images;
  const isTold = done.some(({ failure }) => failure !== undefined);
  const failed = isTold ? [] : errors.map((report) => failedCase(command, report));
  if (done.length + failed.length > 0) return [...done, ...failed];
  const failure = exitCode === 0 ? {} : { failure: `exit code ${exitCode}` };
  return [{ group: command, name: title, seconds, ...failure }];
}

function failedCase(group: string, { json: { error } }: ErrorReport): Case {
  const { message, hint, file, line, command } = error;
  return {
    ...{ group, name: String(command) },
    ...(typeof file === 'string' && typeof line === 'number' ? { place: { file, line } } : {}),
    failure: `${String(message)}${typeof hint === 'string' ? `\nhint: ${hint}` : ''}`,
  };
}

function caseText({ group, name, seconds = 0, place = {}, output, failure }: Case): string {
  const head = attributes({
    classname: `imgtool.${group.replaceAll(' ', '.')}`,
    name,
    time: seconds.toFixed(3),
    ...place,
  });
  const inner = [
    ...(failure === undefined
      ? []
      : [`<failure ${attributes({ message: failure.split('\n', 1)[0]! })}>${xmlText(failure)}</failure>`]),
    ...(output === undefined ? [] : [`<system-out>${xmlText(output)}</system-out>`]),
  ];
  return inner.length === 0 ? `    <testcase ${head}/>` : `    <testcase ${head}>${inner.join('')}</testcase>`;
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(
      ([name, value]) => `${name}="${xmlText(String(value)).replace(/[\n\t]/g, (char) => `&#${char.charCodeAt(0)};`)}"`,
    )
    .join(' ');
}

/** Replaces characters that XML 1.0 cannot represent with U+FFFD. */
function xmlText(text: string): string {
  return text
    .replace(/[^\t\n\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\u{FFFD}')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
