/**
 * The members of a JSON object with the source text of their values, so that an edit keeps the rest unchanged: large
 * numbers, escapes, order. `text` must be valid JSON of an object. Of duplicate names the last one wins.
 */
export function objectMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = text.indexOf('{') + 1;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0] ?? '';
    at += match.length;
    return match;
  };
  for (;;) {
    take(/[\s,]*/y);
    const name = take(STRING);
    if (name === '') return members;
    take(/[\s:]*/y);
    const start = at;
    let depth = 0;
    do {
      const piece = take(STRING) || take(/[{[]/y) || take(/[}\]]/y) || take(/[^"{}[\]]/y);
      if (piece === '') break;
      if (piece === '{' || piece === '[') depth++;
      else if (piece === '}' || piece === ']') depth--;
    } while (depth > 0 || (at < text.length && !/[,}]/.test(text[at]!)));
    const key = JSON.parse(name) as string;
    members.delete(key);
    members.set(key, text.slice(start, at).trim());
  }
}

/** The text of an object with these members; `indent` is the indentation of the object itself. */
export function objectText(members: ReadonlyMap<string, string>, indent = ''): string {
  if (members.size === 0) return '{}';
  const lines = [...members].map(([name, value]) => `${indent}\t${JSON.stringify(name)}: ${value}`);
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

const STRING = /"(?:[^"\\]|\\.)*"/y;
