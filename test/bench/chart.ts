/** The figures of a run as bars in an SVG that needs nothing else: no fonts, no scripts, colours for light and dark pages. */
import { describeRun, formatFigure, formatRatio, type BenchReport, type RowResult } from './report.js';

const WIDTH = 800;
const LABEL_WIDTH = 190;
const BAR_WIDTH = 320;
const BAR_HEIGHT = 14;
const BAR_STEP = 19;
const ROW_GAP = 14;
const TOP = 50;
/** Around everything: the background may differ from that of the page, where a page's colours are not those of the system. */
const MARGIN = 12;

const STYLE = `
  .page { fill: #ffffff; }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #59636e; }
  .ours { fill: #0969da; }
  .peer { fill: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; }
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .ours { fill: #4493f8; }
    .peer { fill: #656c76; }
  }
`;

/** Draws the rows that are measured in seconds; each row is scaled to its longest bar. The report is in `metadata`. */
export function drawChart(report: BenchReport): string {
  const rows = report.results.filter(({ unit, participants }) => unit === 's' && participants[0]?.median !== undefined);
  const parts: string[] = [];
  let y = TOP;
  for (const row of rows) {
    parts.push(drawRow(row, y));
    y += measuredOf(row).length * BAR_STEP + ROW_GAP;
  }
  const notes = wrap(describeRun(report), 120);
  parts.push(...notes.map((line, i) => textAt(0, y + 10 + 15 * i, line, 'small')));
  const size = { width: WIDTH + 2 * MARGIN, height: y + 15 * notes.length + 6 + 2 * MARGIN };
  const box = `width="${size.width}" height="${size.height}"`;
  const view = `viewBox="${-MARGIN} ${-MARGIN} ${size.width} ${size.height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box} ${view} role="img" aria-labelledby="title desc">
<title id="title">imgtool's time compared with its peers; shorter is better</title>
<desc id="desc">${escape([...rows.map(describeRow), describeRun(report)].join(' '))}</desc>
<metadata>${escape(JSON.stringify(report))}</metadata>
<style>${STYLE}</style>
<rect class="page" x="${-MARGIN}" y="${-MARGIN}" ${box} rx="6"/>
${textAt(0, 18, 'Time, shorter is better', 'title')}
${textAt(0, 36, 'ratio: imgtool’s time divided by that of the peer', 'small')}
${parts.join('\n')}
</svg>
`;
}

/** The report that a chart was drawn from. Throws when there is none. */
export function reportOfChart(svg: string): BenchReport {
  const text = /<metadata>(.*)<\/metadata>/.exec(svg)?.[1];
  if (text === undefined) throw new Error('the chart holds no report');
  const unescaped = text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"');
  return JSON.parse(unescaped.replaceAll('&amp;', '&')) as BenchReport;
}

interface Measured {
  readonly name: string;
  readonly median: number;
}

/** Participants that have a figure, imgtool first. */
function measuredOf({ participants }: RowResult): Measured[] {
  return participants.flatMap(({ name, median }) => (median === undefined ? [] : [{ name, median }]));
}

function drawRow(row: RowResult, top: number): string {
  const measured = measuredOf(row);
  const [ours] = measured;
  const longest = Math.max(...measured.map(({ median }) => median));
  const bars = measured.map(({ name, median }, i) => {
    const y = top + i * BAR_STEP;
    const width = Math.max(1, (median / longest) * BAR_WIDTH).toFixed(1);
    const ratio = i === 0 ? '' : `, ratio ${formatRatio(ours!.median, median)}`;
    const label = `${name} ${formatFigure(median, row.unit)}${ratio}`;
    const place = `x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR_HEIGHT}"`;
    return (
      `<rect class="${i === 0 ? 'ours' : 'peer'}" ${place} rx="2"/>` +
      textAt(LABEL_WIDTH + Number(width) + 6, y + BAR_HEIGHT - 3, label, 'small')
    );
  });
  const words = wrap(row.row, 26).map((line, i) => textAt(0, top + 12 + 16 * i, line));
  return [...words, ...bars].join('\n');
}

function describeRow(row: RowResult): string {
  const [ours, ...peers] = measuredOf(row);
  const theirs = peers.map(
    ({ name, median }) => `${name} ${formatFigure(median, row.unit)} (ratio ${formatRatio(ours!.median, median)})`,
  );
  return `${row.row}: ${[`${ours!.name} ${formatFigure(ours!.median, row.unit)}`, ...theirs].join(', ')}.`;
}

function textAt(x: number, y: number, text: string, style?: string): string {
  return `<text x="${x.toFixed(0)}" y="${y}"${style === undefined ? '' : ` class="${style}"`}>${escape(text)}</text>`;
}

/** Breaks text at spaces into lines of at most `columns` characters, where words allow it. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
