import { createHash } from 'node:crypto';
import { relative, resolve } from 'node:path';
import type { Finding } from '../command.js';
import type { Outcome } from './outcome.js';

/**
 * GitLab's code quality report of findings and of errors that concern a line of a file; merge requests show it. Paths
 * are relative to `directory`. A finding keeps its fingerprint when its line moves.
 */
export function codeQualityText({ result, errors }: Outcome, directory: string): string {
  const failures = errors.flatMap(({ json: { error } }): Finding[] => {
    const { file, line, code, message } = error;
    if (typeof file !== 'string' || typeof line !== 'number') return [];
    return [{ file, line, rule: String(code), message: String(message) }];
  });
  const seen = new Map<string, number>();
  const issue = ({ file, line, rule, message }: Finding, severity: string) => {
    const path = relative(directory, resolve(directory, file));
    const kind = JSON.stringify([path, rule, message]);
    const count = seen.get(kind) ?? 0;
    seen.set(kind, count + 1);
    return {
      description: message,
      check_name: rule,
      fingerprint: createHash('sha256').update(`${kind}${count}`).digest('hex'),
      severity,
      location: { path, lines: { begin: line } },
    };
  };
  const issues = [
    ...(result?.findings ?? []).map((finding) => issue(finding, 'minor')),
    ...failures.map((failure) => issue(failure, 'blocker')),
  ];
  return `${JSON.stringify(issues, undefined, 2)}\n`;
}
