import { UsageError } from '../../errors.js';
import type { OptionSpec } from './option.js';

const REPORT_TYPES = ['junit', 'codequality', 'metrics'] as const;

export type ReportType = (typeof REPORT_TYPES)[number];

/** `--report`: files for CI systems, written when a command ends, even if it failed, but not when the command line cannot be parsed. */
export const REPORT_OPTION: OptionSpec = {
  name: 'report',
  value: 'TYPE=FILE',
  repeat: true,
  summary: 'write a report for CI systems: junit (XML), codequality (JSON of GitLab) or metrics (OpenMetrics)',
  parse(text) {
    const at = text.indexOf('=');
    if (REPORT_TYPES.some((type) => type === text.slice(0, Math.max(at, 0))) && at + 1 < text.length) return text;
    throw new UsageError(`unknown report ${JSON.stringify(text.slice(0, 100))}`, {
      hint: `write ${REPORT_TYPES.map((type) => `${type}=FILE`).join(', ')}`,
    });
  },
};
