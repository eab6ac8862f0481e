import { DockerfileError } from '../errors.js';

/** Maximum length of a line in bytes, without its newline. */
const MAX_LINE = 65_535;

/**
 * Splits a file into lines with their original endings (`\n`, `\r\n` or none). Drops a byte order mark; invalid UTF-8
 * becomes U+FFFD. Throws DockerfileError for a line that is too long.
 */
export function sourceLines(bytes: Uint8Array, file: string): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lines: string[] = [];
  let start = buffer.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0;
  while (start < buffer.length) {
    const newline = buffer.indexOf(0x0a, start);
    const end = newline < 0 ? buffer.length : newline + 1;
    if (end - start > MAX_LINE)
      throw new DockerfileError(`the line is longer than ${MAX_LINE} bytes`, { file, line: lines.length + 1 });
    lines.push(buffer.toString('utf8', start, end));
    start = end;
  }
  return lines;
}

/** The line without its ending. */
export function withoutEnding(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === '\n' || line[end - 1] === '\r')) end -= 1;
  return line.slice(0, end);
}
