/** A variable in a Dockerfile's word, and how many characters of the word it takes, its `$` included. */
export interface ExpandedVariable {
  readonly value: string;
  readonly length: number;
}

/**
 * The value of the variable whose `$` is at `at` in `text`, as Dockerfiles write it: `$NAME`, `${NAME}`, `${NAME:-WORD}` and
 * `${NAME:+WORD}`, without the colon too. Undefined: it is no variable. Throws RangeError when a brace is not closed or
 * holds something else.
 */
export function expandVariable(
  text: string,
  at: number,
  variables: ReadonlyMap<string, string>,
): ExpandedVariable | undefined {
  const plain = /^\$([A-Za-z_]\w*)/.exec(text.slice(at));
  if (plain !== null) return { value: variables.get(plain[1]!) ?? '', length: plain[0].length };
  if (text[at + 1] !== '{') return undefined;
  const end = closingBrace(text, at + 1);
  const braced = /^([A-Za-z_]\w*)(?:(:?)([-+])([^]*))?$/.exec(text.slice(at + 2, end));
  if (braced === null) throw new RangeError('this form of a variable is not known');
  const [, name, colon, kind, word = ''] = braced;
  const value = variables.get(name!);
  const isSet = value !== undefined && !(colon === ':' && value === '');
  const other = (): string => expandAll(word, variables);
  const result = kind === undefined ? (value ?? '') : kind === '-' ? (isSet ? value : other()) : isSet ? other() : '';
  return { value: result, length: end + 1 - at };
}

function expandAll(text: string, variables: ReadonlyMap<string, string>): string {
  let result = '';
  for (let at = 0; at < text.length;) {
    const variable = text[at] === '$' ? expandVariable(text, at, variables) : undefined;
    result += variable?.value ?? text[at]!;
    at += variable?.length ?? 1;
  }
  return result;
}

function closingBrace(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}' && (depth -= 1) === 0) return at;
  }
  throw new RangeError('a brace is not closed');
}
