/** Controls (C0, DEL, C1), line separators, bidirectional overrides and lone surrogates: what can fool a terminal. */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

/**
 * Makes a string from outside (label, history, tag, file name, message of a server) safe for one line of a terminal:
 * what is not printable becomes `\xNN` or `\u{N}`. Text without such characters is returned as it is.
 */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
