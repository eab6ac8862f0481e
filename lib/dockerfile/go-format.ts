/** Escapes of control characters in Go's strings. */
const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** Formats a list like Go's `%q`: `["a" "b c"]`. */
export function quotedList(words: readonly string[]): string {
  return `[${words.map(quoted).join(' ')}]`;
}

/** Formats a list like Go's `%v`: `[a b c]`. */
export function plainList(words: readonly string[]): string {
  return `[${words.join(' ')}]`;
}

function quoted(text: string): string {
  return `"${[...text].map(quotedCharacter).join('')}"`;
}

function quotedCharacter(char: string): string {
  const escape = ESCAPES[char];
  if (escape !== undefined) return escape;
  const code = char.codePointAt(0)!;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
  const isPrintable = char === ' ' || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(char);
  if (isPrintable) return char;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Formats a duration in nanoseconds as Go does: `1m30s`. */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  if (nanoseconds < 1e3) return `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`;
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`;
  const minutes = Math.floor(nanoseconds / 60e9);
  const seconds = `${(nanoseconds - minutes * 60e9) / 1e9}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return `${hours === 0 ? '' : `${hours}h`}${minutes % 60}m${seconds}`;
}
