import { SyntaxProblem } from './problem.js';

/** Splits one CSV record, the syntax of `--mount`, into fields; a quoted field may contain commas. Throws SyntaxProblem. */
export function csvFields(record: string): string[] {
  const fields: string[] = [];
  for (let at = 0; ;) {
    if (record[at] === '"') {
      const quoted = /"((?:[^"]|"")*)"/y;
      quoted.lastIndex = at;
      const match = quoted.exec(record);
      if (match === null) throw new SyntaxProblem(`a quote is not closed in ${JSON.stringify(record)}`);
      fields.push(match[1]!.replaceAll('""', '"'));
      at += match[0].length;
    } else {
      const comma = record.indexOf(',', at);
      const field = record.slice(at, comma < 0 ? undefined : comma);
      if (field.includes('"')) throw new SyntaxProblem(`a quote must begin its field in ${JSON.stringify(record)}`);
      fields.push(field);
      at += field.length;
    }
    if (at >= record.length) return fields;
    if (record[at] !== ',') throw new SyntaxProblem(`a comma is missing in ${JSON.stringify(record)}`);
    at += 1;
  }
}
