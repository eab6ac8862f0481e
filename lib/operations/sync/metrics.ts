import type { SyncReport, TargetTotals } from './types.js';

const METRICS: readonly {
  readonly name: string;
  readonly help: string;
  readonly key: Exclude<keyof TargetTotals, 'target'>;
}[] = [
  { name: 'imgtool_sync_bytes', help: 'Bytes of blobs sent in the last run.', key: 'bytes' },
  { name: 'imgtool_sync_blobs_copied', help: 'Blobs sent in the last run.', key: 'uploaded' },
  { name: 'imgtool_sync_blobs_mounted', help: 'Blobs taken over within the target in the last run.', key: 'mounted' },
  { name: 'imgtool_sync_blobs_skipped', help: 'Blobs that were there already in the last run.', key: 'present' },
  { name: 'imgtool_sync_copy_seconds', help: 'How long copies took in the last run, added up.', key: 'seconds' },
  { name: 'imgtool_sync_tags_copied', help: 'Tags set in the last run.', key: 'copied' },
  { name: 'imgtool_sync_tags_up_to_date', help: 'Tags that needed nothing in the last run.', key: 'upToDate' },
  { name: 'imgtool_sync_tags_deleted', help: 'Tags removed in the last run.', key: 'deleted' },
  { name: 'imgtool_sync_tags_vanished', help: 'Tags that the source listed and no longer had.', key: 'vanished' },
  { name: 'imgtool_sync_errors', help: 'Tags that failed in the last run.', key: 'failed' },
];

/** Formats a report for Prometheus (text exposition format 0.0.4). `now`: milliseconds since 1970. */
export function prometheusText(report: SyncReport, now: number): string {
  const lines: string[] = [];
  const metric = (name: string, help: string, samples: readonly (readonly [labels: string, value: number])[]): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const [labels, value] of samples) lines.push(`${name}${labels} ${value}`);
  };
  for (const { name, help, key } of METRICS) {
    metric(
      name,
      help,
      report.targets.map(
        (totals) => [`{target="${escapeLabel(totals.target)}"}`, Number(totals[key].toFixed(3))] as const,
      ),
    );
  }
  metric('imgtool_sync_requests', 'Requests sent in the last run.', [['', report.requests]]);
  metric('imgtool_sync_seconds', 'How long the last run took.', [['', Number(report.seconds.toFixed(3))]]);
  metric('imgtool_sync_last_run_timestamp_seconds', 'When the last run ended.', [['', Math.floor(now / 1000)]]);
  return `${lines.join('\n')}\n`;
}

function escapeLabel(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
