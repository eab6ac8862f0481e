/** The text after the @ of a digest. */
const DIGEST_START = /(?:sha-?\d+|md5|blake\d\w*)(?:[-:"']|$)/y;

/** Replaces each login (`user:password@`) in a reference or URL with `***@`. */
export function withoutLogins(text: string): string {
  return text.includes('@') ? text.replace(/\S+/g, withoutLogin) : text;
}

/** Examines each character a few times at most, because messages may contain text from a server. */
function withoutLogin(word: string): string {
  let at = word.lastIndexOf('@');
  for (; at > 0; at = word.lastIndexOf('@', at - 1)) {
    DIGEST_START.lastIndex = at + 1;
    if (!DIGEST_START.test(word)) break;
  }
  const colon = /[^"'/@]:/.exec(word.slice(0, Math.max(0, at - 1)))?.index;
  if (colon === undefined) return word;
  const start = /[^"'/@]*$/.exec(word.slice(Math.max(0, colon - 100), colon))![0].length;
  return `${word.slice(0, colon - start)}***${word.slice(at)}`;
}
