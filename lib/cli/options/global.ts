import { DEFAULTS } from '../../imgtool/index.js';
import { parseSize } from '../../util/index.js';
import { REPORT_OPTION } from './report.js';
import { notEmpty, wholeNumber, type OptionSpec } from './option.js';

/** Options of every command, accepted before and after its name. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = (
  [
    { name: 'root', value: 'DIR', default: DEFAULTS.root, parse: notEmpty, summary: 'directory of the local store' },
    { name: 'json', default: false, summary: 'print the result, or the error, as one JSON document' },
    {
      name: 'output-format',
      value: 'FORMAT',
      choices: ['text', 'github'],
      default: 'text',
      summary: 'github: also write outputs, summary and error annotations of GitHub Actions',
    },
    REPORT_OPTION,
    {
      name: 'progress',
      value: 'MODE',
      choices: ['auto', 'tty', 'plain', 'json', 'none'],
      default: 'auto',
      summary: 'progress on stderr; auto: bars on a terminal, else plain lines; json: one event per line',
    },
    { name: 'quiet', short: 'q', default: false, summary: 'print no progress and no notes; lists print IDs only' },
    {
      name: 'log-level',
      value: 'LEVEL',
      choices: ['error', 'warn', 'info', 'debug'],
      default: 'info',
      summary: 'how much to print on stderr',
    },
    {
      name: 'tls-verify',
      default: true,
      summary: 'verify TLS certificates and require HTTPS; with false, any certificate and plain HTTP are accepted',
    },
    {
      name: 'creds',
      value: 'USER[:PASS]',
      secret: true,
      summary: 'credentials for the one registry that the command names',
    },
    { name: 'authfile', value: 'FILE', summary: "credentials file in the format of Docker's config.json" },
    { name: 'cert-dir', value: 'DIR', summary: 'directory with *.crt (CAs), *.cert and *.key (client)' },
    {
      name: 'registry-version',
      value: 'VERSION',
      choices: ['auto', '1', '2'],
      default: 'auto',
      summary: 'registry protocol to speak',
    },
    {
      name: 'parallel',
      value: 'N',
      parse: wholeNumber(1),
      default: DEFAULTS.parallel,
      summary: 'concurrent transfers per registry',
    },
    {
      name: 'connections',
      value: 'N',
      parse: wholeNumber(1),
      summary: 'parts of one large blob to fetch in parallel; default: several if one connection is slow',
    },
    { name: 'limit-rate', value: 'BYTES', parse: parseSize, summary: 'bytes per second, for all transfers together' },
    {
      name: 'retry',
      value: 'N',
      parse: wholeNumber(0),
      default: DEFAULTS.retry,
      summary: 'how often to retry a failed request',
    },
    {
      name: 'timeout',
      value: 'S',
      parse: wholeNumber(1),
      default: DEFAULTS.timeout,
      summary: 'seconds without data before a transfer fails',
    },
  ] satisfies OptionSpec[]
).map((option: OptionSpec) => ({ ...option, shared: true }));

/** Flags of every command that print something instead of running it. */
export const HELP: OptionSpec = { name: 'help', short: 'h', summary: 'show help and exit' };
export const VERSION_FLAG: OptionSpec = { name: 'version', short: 'V', summary: 'show the version and exit' };
