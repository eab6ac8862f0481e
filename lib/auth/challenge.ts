/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
/** Credentials instead of parameters, such as those of Negotiate (RFC 9110, 11.2). */
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/** Parses all challenges of the header, up to the first invalid one. */
export function parseChallenges(header: string | undefined): Challenge[] {
  const text = (header ?? '').slice(0, 8192);
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let at = 0;
  const skip = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0] ?? '';
    at += match.length;
    return match;
  };
  for (;;) {
    skip(/[\s,]*/y);
    const word = skip(TOKEN);
    if (word === '') return challenges;
    skip(/[ \t]*/y);
    const current = challenges.at(-1);
    if (text[at] === '=' && current !== undefined) {
      at++;
      skip(/[ \t]*/y);
      const quoted = skip(/"(?:[^"\\]|\\.)*"/y);
      const value = quoted === '' ? skip(/[^\s,"]*/y) : quoted.slice(1, -1).replace(/\\(.)/g, '$1');
      current.parameters[word.toLowerCase()] ??= value;
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) as Record<string, string> });
      if (/[ \t]/.test(text[at - 1] ?? '')) skip(TOKEN68);
    }
  }
}
