import { writeFile } from 'node:fs/promises';
import { fileError } from '../../util/index.js';
import { codeQualityText } from './code-quality.js';
import { junitText } from './junit.js';
import { openMetricsText } from './open-metrics.js';
import type { Outcome } from './outcome.js';
import type { ReportType } from '../options/report.js';

const TEXTS: Readonly<Record<ReportType, (outcome: Outcome) => string>> = {
  junit: junitText,
  codequality: (outcome) => codeQualityText(outcome, process.cwd()),
  metrics: openMetricsText,
};

/** Writes the files of `--report`, each `TYPE=FILE`. Throws UsageError, DiskSpaceError. */
export async function writeReports(reports: readonly string[], outcome: Outcome): Promise<void> {
  for (const report of reports) {
    const at = report.indexOf('=');
    const path = report.slice(at + 1);
    try {
      await writeFile(path, TEXTS[report.slice(0, at) as ReportType](outcome));
    } catch (error) {
      throw fileError(`the report ${path}`, 'written', error);
    }
  }
}
