/** Controls (C0, DEL, C1), line separators, bidirectional overrides and lone surrogates, which could manipulate a terminal. */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

/**
 * Makes an untrusted string (label, history, tag, file name, server message) safe for one line of a terminal:
 * unprintable characters become `\xNN` or `\u{N}`. Other text is returned unchanged.
 */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
