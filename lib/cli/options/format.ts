import type { CommandResult } from '../command.js';
import { jsonText } from '../json-text.js';
import type { OptionSpec } from './option.js';

/** `--format` of commands that list or describe, as in docker and podman. */
export const FORMAT: OptionSpec = {
  name: 'format',
  value: 'TEMPLATE',
  summary: "output in a Go template such as '{{.ID}}' or 'table {{.ID}}\\t{{.Size}}'; or json",
};

/** A parsed `--format`. */
export interface OutputFormat {
  /** Reports whether it uses any of these fields, or all fields. */
  mentions(...fields: readonly string[]): boolean;
  /** Renders one text per row. `headings`: by field, where not the upper-case name; `json`: the document of `--json`. */
  result(rows: readonly object[], options: FormatOptions): CommandResult;
}

interface FormatOptions {
  readonly headings?: Readonly<Record<string, string>>;
  readonly noHeading?: boolean;
  readonly json: unknown;
}

const TABLE = /^\s*table(?:\s|\\t)+(?=\S)/;

/** Parses `--format`; undefined without one and for the default table (`table`). Throws UsageError that names the position. */
export async function readFormat(text: string | undefined): Promise<OutputFormat | undefined> {
  if (text === undefined || text.trim() === 'table') return undefined;
  if (text.trim() === 'json') {
    return { mentions: () => false, result: (_, { json }) => ({ bytes: Buffer.from(`${jsonText(json)}\n`) }) };
  }
  // Loaded late, because few command lines have a template.
  const { parseTemplate } = await import('../../template/index.js');
  const isTable = TABLE.test(text);
  // Blanks replace `table`, so that messages name the right column.
  const template = parseTemplate(text.replace(TABLE, (prefix) => ' '.repeat(prefix.length)));
  const run = (data: unknown): string => {
    const output = template.execute(data);
    return isTable ? output.trimStart() : output;
  };
  return {
    mentions: (...fields) => {
      const lower = fields.map((field) => field.toLowerCase());
      return [...template.fields].some((field) => field === '.' || lower.includes(field.toLowerCase()));
    },
    result(rows, { headings = {}, noHeading = false, json }) {
      const texts = template.takesList ? [run(rows)] : rows.map(run);
      if (!isTable) return { bytes: Buffer.from(texts.map(endLine).join('')) };
      const columns = titles(text.replace(TABLE, ''), headings);
      const lines = texts.flatMap((line) => line.split('\n').filter((one) => one !== ''));
      return { text: { columns, rows: lines.map((line) => line.split('\t')), noHeading }, json };
    },
  };
}

/** The heading of each column: the last field that its part of the template uses, or empty. */
function titles(text: string, headings: Readonly<Record<string, string>>): string[] {
  return text.split(/\t|\\t/).map((cell) => {
    const field = [...cell.replace(/"[^"]*"/g, '').matchAll(/\.([A-Za-z_]\w*)/g)].at(-1)?.[1];
    return field === undefined ? '' : (headings[field] ?? titleOf(field));
  });
}

/** `CREATED SINCE` for `CreatedSince`. */
function titleOf(field: string): string {
  return field.replace(/([a-z\d])([A-Z])/g, '$1 $2').toUpperCase();
}

function endLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
