import { escapeText } from '../util/index.js';

/** Rows with headings; cells are unescaped plain text. */
export interface Table {
  readonly columns: readonly (string | { readonly title: string; readonly align: 'left' | 'right' })[];
  readonly rows: readonly (readonly string[])[];
  /** Omits the headings. */
  readonly noHeading?: boolean;
}

/** Formats a table: aligned columns two blanks apart, no trailing blanks, cells escaped. */
export function formatTable({ columns, rows, noHeading = false }: Table): string[] {
  const heads = columns.map((column) =>
    typeof column === 'string' ? { title: column, align: 'left' as const } : column,
  );
  const cells = [...(noHeading ? [] : [heads.map(({ title }) => title)]), ...rows].map((row) => row.map(escapeText));
  const widths = heads.map((_, index) => Math.max(0, ...cells.map((row) => textWidth(row[index] ?? ''))));
  return cells.map((row) =>
    row
      .map((cell, index) => {
        const fill = ' '.repeat(widths[index]! - textWidth(cell));
        return heads[index]?.align === 'right' ? fill + cell : cell + fill;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Width of a text on a terminal in columns: wide East Asian characters take two, combining marks none. */
function textWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code >= 0x300 && /\p{Mark}/u.test(char)) continue;
    width += isWide(code) ? 2 : 1;
  }
  return width;
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}
