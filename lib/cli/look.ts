export type Colour = 'red' | 'green' | 'yellow';

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33 };
const IN_ASCII: Readonly<Record<string, string>> = { '├': '|', '└': '`', '│': '|', '─': '-', '…': '...' };

/** Text in a colour, where `isColoured`. */
export function paint(text: string, colour: Colour, isColoured: boolean): string {
  return isColoured ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

/** Whether colours are wanted: on a terminal that knows them, unless NO_COLOR (no-color.org) is set. */
export function wantsColour({ isTTY }: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  return isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

/** Whether the locale's characters are those of Unicode. */
export function isUtf8({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}

/** Text with the lines and dots of our own in ASCII; names from images stay as they are. */
export function inAscii(text: string): string {
  return text.replace(/[├└│─…]/g, (character) => IN_ASCII[character]!);
}
