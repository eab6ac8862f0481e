export type Colour = 'red' | 'green' | 'yellow';

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33 };
const IN_ASCII: Readonly<Record<string, string>> = { '├': '|', '└': '`', '│': '|', '─': '-', '…': '...' };

/** Colours text if `isColoured`. */
export function paint(text: string, colour: Colour, isColoured: boolean): string {
  return isColoured ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

/** Reports whether to use colours: on a terminal that supports them, unless NO_COLOR (no-color.org) is set. */
export function wantsColour({ isTTY }: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  return isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

/** Reports whether the locale's charset is UTF-8. */
export function isUtf8({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}

/** Replaces imgtool's own lines and dots with ASCII; keeps names from images unchanged. */
export function inAscii(text: string): string {
  return text.replace(/[├└│─…]/g, (character) => IN_ASCII[character]!);
}
