/**
 * `npm run bench -- [--rows NAME,…] [--runs N] [--quick]`: prints a table, writes bench-results.json. Needs root.
 * `--against PROGRAM`: measures another build of imgtool beside this one.
 * `--chart`: measures the rows of the chart unless others are named, and puts them into docs/benchmarks.svg and .md;
 * `--from FILE`: draws those of an earlier run and measures nothing.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Builds } from './builds.js';
import { drawChart } from './chart.js';
import { serveBenchImage } from './image.js';
import { describeRun, withFigures, type BenchReport, type RowResult } from './report.js';
import { measureRow, type BenchRow, type ParticipantResult } from './row.js';
import { buildCached, buildLastCopy, buildRuns, scaleBuildCached, scaleBuildRuns } from './rows/build.js';
import { coldPull } from './rows/cold-pull.js';
import { commitLarge, commitSmall } from './rows/commit.js';
import { diff } from './rows/diff.js';
import { coldCopy, noopSync } from './rows/mirror.js';
import { nothingNew } from './rows/nothing-new.js';
import { peakMemory } from './rows/peak-memory.js';
import { pushSmall } from './rows/push.js';
import { scaleCommit, scaleDiff } from './rows/scale.js';
import { syncMemory } from './rows/sync-memory.js';
import { startUp } from './rows/start-up.js';
import { throttledPull } from './rows/throttled-pull.js';

const ROWS: readonly BenchRow[] = [
  coldPull,
  nothingNew,
  coldCopy,
  noopSync,
  syncMemory,
  diff,
  commitSmall,
  commitLarge,
  buildRuns,
  buildCached,
  buildLastCopy,
  pushSmall,
  scaleDiff,
  scaleCommit,
  scaleBuildRuns,
  scaleBuildCached,
  startUp,
  throttledPull,
  peakMemory,
];

/** The rows of the chart. */
const CHARTED: readonly BenchRow[] = [
  coldPull,
  diff,
  commitSmall,
  buildRuns,
  buildCached,
  pushSmall,
  coldCopy,
  noopSync,
];
const RESULTS = 'bench-results.json';
const CHART = 'docs/benchmarks.svg';
const PAGE = 'docs/benchmarks.md';

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string' },
    runs: { type: 'string' },
    against: { type: 'string' },
    quick: { type: 'boolean', default: false },
    chart: { type: 'boolean', default: false },
    from: { type: 'string' },
  },
});
const chosen = options.rows === undefined ? (options.chart ? CHARTED : ROWS) : options.rows.split(',').map(findRow);
const runs = options.runs === undefined ? undefined : Number(options.runs);
if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) fail(`--runs ${options.runs} is no number above 0`);
if (options.from !== undefined && !options.chart) fail('--from needs --chart');

// What is mounted and what runs is given back when the process exits, which a signal alone does not do.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => process.exit(code));

const report =
  options.from === undefined ? await measure() : (JSON.parse(await readFile(options.from, 'utf8')) as BenchReport);
if (options.chart) {
  await writeFile(CHART, drawChart(report));
  await writeFile(PAGE, withFigures(await readFile(PAGE, 'utf8'), report));
  console.log(`written: ${CHART}, ${PAGE}`);
}

/** Measures the chosen rows and writes the results to a file. */
async function measure(): Promise<BenchReport> {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    node: process.version,
    load: loadavg()[0] ?? 0,
  };
  const image = await serveBenchImage(options.quick);
  const builds = new Builds(resolve('bin/imgtool'), options.against && resolve(options.against));
  const results: RowResult[] = [];
  const { description, compressedSize } = image;
  const reportNow = (): BenchReport => ({
    ...{ date: new Date().toISOString(), machine, image: { description, compressedSize }, results },
  });
  try {
    console.log(`${describeRun(reportNow())}\n`);
    for (const row of chosen) {
      const context = { imgtool: builds.path, image, quick: options.quick };
      const participants = await measureRow(builds.row(row), context, runs ?? (options.quick ? 1 : row.runs));
      results.push({ row: row.name, unit: row.unit, participants });
      printRow(row, participants);
      // After each row: an interrupted run keeps its figures.
      await writeFile(RESULTS, `${JSON.stringify(reportNow(), undefined, 2)}\n`);
    }
  } finally {
    builds.remove();
    await image.registry.stop();
  }
  console.log(`written: ${RESULTS}`);
  if (results.some(({ participants }) => participants.some(({ error }) => error !== undefined))) process.exitCode = 1;
  return reportNow();
}

function findRow(name: string): BenchRow {
  return (
    ROWS.find((row) => row.name === name) ?? fail(`no row "${name}"; rows: ${ROWS.map((row) => row.name).join(', ')}`)
  );
}

function fail(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

/** One line a participant: median, spread, imgtool's median divided by it, counts. */
function printRow(row: BenchRow, participants: readonly ParticipantResult[]): void {
  const ours = participants[0]?.median;
  console.log(row.name);
  for (const { name, values, median, counts, error } of participants) {
    if (error !== undefined || median === undefined) {
      console.log(`  ${name.padEnd(34)} failed: ${error}`);
      continue;
    }
    const digits = row.unit === 's' ? 3 : 0;
    const spread = `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
    const ratio = ours === undefined ? '' : `ratio ${(ours / median).toFixed(2)}`;
    const rest = Object.entries(counts).map(([key, value]) => `${key} ${value}`);
    const line = [
      `${median.toFixed(digits)} ${row.unit}`.padStart(10),
      `(${spread}, ${values.length} runs)`,
      ratio,
      ...rest,
    ];
    console.log(`  ${name.padEnd(34)} ${line.join('  ')}`);
  }
  console.log();
}
