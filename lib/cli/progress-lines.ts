import { escapeText, formatSize } from '../util/index.js';
import { isFinal, type ProgressItem, type ProgressTotals } from './progress-model.js';
import { shortDigest } from './short-digest.js';

const DOING = {
  fetch: 'downloading',
  unpack: 'unpacking',
  pack: 'packing',
  upload: 'uploading',
  save: 'saving',
} as const;
const DID = { fetch: 'downloaded', unpack: 'unpacked', pack: 'packed', upload: 'uploaded', save: 'saved' } as const;
const STATE_COLUMNS = 12;
const BAR_COLUMNS = 24;

/** Formats seconds: `4s`, `2m05s`, `1h02m`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}

/** One screen line for a layer, at most `columns` wide. `now` in ms. */
export function barLine(item: ProgressItem, columns: number, now: number): string {
  const name = shortDigest(item.digest).padEnd(12);
  const line = `${name}  ${stateWord(item).padEnd(STATE_COLUMNS)}${detail(item, columns, now)}`;
  return line.trimEnd().slice(0, Math.max(columns, 1));
}

/** The summary of all transfers, at most `columns` wide. */
export function totalLine(totals: ProgressTotals, columns: number): string {
  return `${'total'.padEnd(12)}  ${totalText(totals)}`.slice(0, Math.max(columns, 1));
}

/** `45.3MB of 270MB (16%), 12.1MB/s, eta 19s`. */
export function totalText({ transferred, total, rate, secondsLeft }: ProgressTotals): string {
  const share = total > 0 ? ` of ${formatSize(total)} (${Math.floor((transferred / total) * 100)}%)` : '';
  const speed = rate === undefined ? '' : `, ${formatSize(Math.round(rate))}/s`;
  const eta = secondsLeft === undefined || total === transferred ? '' : `, eta ${formatSeconds(secondsLeft)}`;
  return `${formatSize(transferred)}${share}${speed}${eta}`;
}

/** Log line for a finished layer: `3c2cba919283: unpacked 813MB in 3s`. */
export function finishedLine(item: ProgressItem): string {
  const name = shortDigest(item.digest);
  if (item.state === 'skipped') return `${name}: already present`;
  if (item.state === 'mounted') return `${name}: mounted from another repository`;
  const seconds = ((item.until ?? item.since) - item.since) / 1000;
  const time = seconds >= 0.1 ? ` in ${seconds < 10 ? `${seconds.toFixed(1)}s` : formatSeconds(seconds)}` : '';
  return `${name}: ${DID[item.action]} ${formatSize(item.transferred)}${time}`;
}

function stateWord(item: ProgressItem): string {
  switch (item.state) {
    case 'queued':
      return item.action === 'fetch' || item.action === 'upload' ? 'queued' : 'waiting';
    case 'waiting':
      return 'waiting';
    case 'skipped':
      return 'present';
    case 'mounted':
      return 'mounted';
    case 'retrying':
      return 'retrying';
    case 'active':
      return DOING[item.action];
    case 'done':
      return DID[item.action];
  }
}

function detail(item: ProgressItem, columns: number, now: number): string {
  if (item.state === 'retrying' || item.state === 'waiting') return escapeText(item.message ?? '');
  if (item.state === 'done') return item.transferred > 0 ? formatSize(item.transferred) : '';
  if (item.state !== 'active') return item.total === undefined ? '' : formatSize(item.total);
  const elapsed = (now - item.since) / 1000;
  const rate = elapsed >= 0.5 && item.transferred > 0 ? item.transferred / elapsed : undefined;
  const speed = rate === undefined ? '' : `  ${formatSize(Math.round(rate))}/s`;
  if (item.total === undefined || item.total === 0) return `${formatSize(item.transferred)}${speed}`;
  const share = Math.min(item.transferred / item.total, 1);
  const eta = rate === undefined || share === 1 ? '' : `  eta ${formatSeconds((item.total - item.transferred) / rate)}`;
  const figures = `${formatSize(item.transferred)}/${formatSize(item.total)}${speed}${eta}`;
  // On a narrow terminal, the bar gets the space left by name, state and figures.
  const room = Math.min(BAR_COLUMNS, columns - 14 - STATE_COLUMNS - 40);
  return room < 8 ? figures : `${bar(share, room)}  ${figures}`;
}

function bar(share: number, columns: number): string {
  const inside = columns - 2;
  const full = Math.round(share * inside);
  const head = full > 0 && full < inside ? `${'='.repeat(full - 1)}>` : '='.repeat(full);
  return `[${head.padEnd(inside)}]`;
}

/** Reports whether a layer is finished, judging by its item alone. */
export function isFinished(item: ProgressItem): boolean {
  return isFinal(item.state) && (item.action !== 'fetch' || item.state !== 'done');
}
