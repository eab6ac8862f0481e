import { appendFileSync } from 'node:fs';
import { fileError, formatSize } from '../../util/index.js';
import type { Finding, MadeImage } from '../command.js';
import type { ErrorReport } from '../error-report.js';

/**
 * Tells GitHub Actions what a command made: `image` and `digest` as outputs of the step (a digest that all images share, and
 * the first of them), and a table for the summary of the job. Files that the runner does not name are left out. Throws
 * UsageError, DiskSpaceError.
 */
export function tellGitHub(command: string, made: readonly MadeImage[], env: NodeJS.ProcessEnv): void {
  const { GITHUB_OUTPUT: outputs, GITHUB_STEP_SUMMARY: summary } = env;
  if (outputs) append('GITHUB_OUTPUT', outputs, outputsOf(made));
  if (summary) append('GITHUB_STEP_SUMMARY', summary, summaryOf(command, made));
}

function append(variable: string, path: string, text: string): void {
  try {
    appendFileSync(path, text);
  } catch (error) {
    throw fileError(`the file of ${variable}, ${path},`, 'written', error);
  }
}

/** An error as a workflow command, which marks the line of a file that it is about. */
export function gitHubError({ json: { error } }: ErrorReport): string {
  const properties = ['file', 'line', 'column']
    .filter((name) => error[name] !== undefined)
    .map((name) => `${name === 'column' ? 'col' : name}=${propertyText(String(error[name]))}`);
  const hint = typeof error.hint === 'string' ? `\nhint: ${error.hint}` : '';
  const title = `title=${propertyText(`imgtool ${String(error.command)}`)}`;
  return `::error ${[...properties, title].join(',')}::${messageText(`${String(error.message)}${hint}`)}`;
}

/** A finding as a workflow command that marks its line. */
export function gitHubWarning({ file, line, rule, message }: Finding): string {
  return `::warning file=${propertyText(file)},line=${line},title=${propertyText(rule)}::${messageText(message)}`;
}

function outputsOf([first, ...others]: readonly MadeImage[]): string {
  if (first?.digest === undefined || others.some(({ digest }) => digest !== first.digest)) return '';
  return `image=${oneLine(first.image)}\ndigest=${first.digest}\n`;
}

function summaryOf(command: string, made: readonly MadeImage[]): string {
  if (made.length === 0) return '';
  const rows = made.map(({ image, digest, did, bytes }) => [
    `\`${oneLine(image).replace(/[`|]/g, '')}\``,
    did,
    digest === undefined ? '' : `\`${digest}\``,
    bytes === undefined ? '' : formatSize(bytes),
  ]);
  const table = [['image', command, 'digest', 'transferred'], ['---', '---', '---', '---:'], ...rows];
  return `\n${table.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}

/** Nothing in a name begins another output or another row. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function messageText(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function propertyText(text: string): string {
  return messageText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
