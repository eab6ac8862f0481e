/** Text as editors on Windows save it, without the mark at its start, which JSON does not allow. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}
