import { appendFileSync } from 'node:fs';
import { fileError, formatSize } from '../../util/index.js';
import type { Finding, MadeImage } from '../command.js';
import type { ErrorReport } from '../error-report.js';

/**
 * Reports a command's images to GitHub Actions: `image` and `digest` as outputs of the step (the digest that all images
 * share, and the first of them), and a table for the job's summary. Files that the runner does not name are skipped.
 * Throws UsageError, DiskSpaceError.
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

/** Renders an error as a workflow command that annotates the line of the file it concerns. */
export function gitHubError({ json: { error } }: ErrorReport): string {
  const properties = ['file', 'line', 'column']
    .filter((name) => error[name] !== undefined)
    .map((name) => `${name === 'column' ? 'col' : name}=${propertyText(String(error[name]))}`);
  const hint = typeof error.hint === 'string' ? `\nhint: ${error.hint}` : '';
  const title = `title=${propertyText(`imgtool ${String(error.command)}`)}`;
  return `::error ${[...properties, title].join(',')}::${messageText(`${String(error.message)}${hint}`)}`;
}

/** Renders a finding as a workflow command that annotates its line. */
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

/** Prevents a name from starting another output or row. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function messageText(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function propertyText(text: string): string {
  return messageText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
