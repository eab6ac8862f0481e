/** Removes the byte order mark that Windows editors write at the start of a text, which JSON does not allow. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}
