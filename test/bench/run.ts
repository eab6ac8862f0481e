/** `npm run bench -- [--rows NAME,…] [--runs N] [--quick]`: prints a table, writes bench-results.json. Needs root. */
import { writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { serveBenchImage } from './image.js';
import { measureRow, type BenchRow, type ParticipantResult } from './row.js';
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
  pushSmall,
  scaleDiff,
  scaleCommit,
  startUp,
  throttledPull,
  peakMemory,
];

const { values: options } = parseArgs({
  options: { rows: { type: 'string' }, runs: { type: 'string' }, quick: { type: 'boolean', default: false } },
});
const chosen = options.rows === undefined ? ROWS : options.rows.split(',').map(findRow);
const runs = options.runs === undefined ? undefined : Number(options.runs);
if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) fail(`--runs ${options.runs} is no number above 0`);

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memory: totalmem(),
  kernel: release(),
  node: process.version,
};
const image = await serveBenchImage(options.quick);
const results: { row: string; unit: string; participants: readonly ParticipantResult[] }[] = [];
try {
  const megabytes = (image.compressedSize / 1e6).toFixed(0);
  console.log(`machine: ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, node ${machine.node}`);
  console.log(`image: ${image.description}, ${megabytes} MB compressed\n`);
  for (const row of chosen) {
    const context = { imgtool: resolve('bin/imgtool'), image, quick: options.quick };
    const participants = await measureRow(row, context, runs ?? (options.quick ? 1 : row.runs));
    results.push({ row: row.name, unit: row.unit, participants });
    printRow(row, participants);
  }
} finally {
  await image.registry.stop();
}
const report = { date: new Date().toISOString(), machine, image: { description: image.description }, results };
await writeFile('bench-results.json', `${JSON.stringify(report, undefined, 2)}\n`);
console.log('written: bench-results.json');
if (results.some(({ participants }) => participants.some(({ error }) => error !== undefined))) process.exitCode = 1;

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
