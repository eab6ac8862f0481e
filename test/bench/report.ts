/** What a run of the benchmark leaves in bench-results.json, and how its figures are written. */
import type { ParticipantResult } from './row.js';

/** Results of one row; the first participant is imgtool. */
export interface RowResult {
  readonly row: string;
  readonly unit: 's' | 'MB';
  readonly participants: readonly ParticipantResult[];
}

/** One run. */
export interface BenchReport {
  /** When it ended, ISO 8601. */
  readonly date: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    /** Bytes. */
    readonly memory: number;
    readonly kernel: string;
    readonly node: string;
    /** Average number of busy processes in the minute before the run. */
    readonly load: number;
  };
  readonly image: { readonly description: string; readonly compressedSize: number };
  readonly results: readonly RowResult[];
}

/** A figure for people: `5.31 s`, `159 MB`. */
export function formatFigure(value: number, unit: RowResult['unit']): string {
  return `${value.toFixed(unit === 's' ? 2 : 0)} ${unit}`;
}

/** How often the time of the peer: `0.42`. */
export function formatRatio(ours: number, theirs: number): string {
  return (ours / theirs).toFixed(2);
}

/** One sentence: when, on what, with which image. */
export function describeRun({ date, machine, image }: BenchReport): string {
  const megabytes = (image.compressedSize / 1e6).toFixed(0);
  return (
    `Medians of one run on ${date.slice(0, 10)}: ${machine.cores} cores of ${machine.cpu}, load ${machine.load.toFixed(1)} ` +
    `at the start, Linux ${machine.kernel}, Node ${machine.node.replace(/^v/, '')}; ${image.description}, ${megabytes} MB.`
  );
}

/** The figures as a Markdown table: a line for each peer of each row. Rows in which imgtool failed are left out. */
function markdownTable({ results }: BenchReport): string {
  const lines = ['| work | imgtool | peer | ratio |', '|---|---|---|---|'];
  for (const { row, unit, participants } of results) {
    const [ours, ...peers] = participants;
    if (ours?.median === undefined) continue;
    for (const { name, median } of peers) {
      if (median === undefined) continue;
      const cells = [
        row,
        formatFigure(ours.median, unit),
        `${name.replaceAll('|', '\\|')} ${formatFigure(median, unit)}`,
      ];
      lines.push(`| ${[...cells, formatRatio(ours.median, median)].join(' | ')} |`);
    }
  }
  return lines.join('\n');
}

const FIGURES = /(<!-- figures -->\n)[^]*(<!-- end of figures -->)/;

/** A Markdown page with the figures of a report between its two marks. Throws when it has none. */
export function withFigures(page: string, report: BenchReport): string {
  if (!FIGURES.test(page)) throw new Error('the page has no marks for the figures');
  return page.replace(FIGURES, (_, begin: string, end: string) => {
    return `${begin}${describeRun(report)}\n\n${markdownTable(report)}\n${end}`;
  });
}
