/**
 * A file name for display: UTF-8 unchanged, otherwise each byte that is not printable ASCII as `\xNN`. Still has to be
 * escaped for terminals.
 */
export function pathText(path: Uint8Array): { readonly text: string; readonly isUtf8: boolean } {
  const bytes = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  const text = bytes.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(bytes)) return { text, isUtf8: true };
  return {
    text: bytes.toString('latin1').replace(/[^ -~]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
    isUtf8: false,
  };
}
