import { parseSize } from '../util/index.js';
import { notEmpty, wholeNumber, type OptionSpec } from './option.js';

/** Store of an unconfigured machine (storage.md, "Where"). */
export const DEFAULT_ROOT = '/var/lib/imgtool';

/** The options every command takes, before and after the verb. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = (
  [
    { name: 'root', value: 'DIR', default: DEFAULT_ROOT, parse: notEmpty, summary: 'directory of the local store' },
    { name: 'json', default: false, summary: 'print the result (and an error) as one JSON document' },
    {
      name: 'progress',
      value: 'MODE',
      choices: ['auto', 'tty', 'plain', 'json', 'none'],
      default: 'auto',
      summary: 'how progress is told on stderr: bars on a terminal, else plain lines; json: one event a line',
    },
    { name: 'quiet', short: 'q', default: false, summary: 'no progress, no remarks; lists show IDs only' },
    {
      name: 'log-level',
      value: 'LEVEL',
      choices: ['error', 'warn', 'info', 'debug'],
      default: 'info',
      summary: 'how much is said on stderr',
    },
    {
      name: 'tls-verify',
      default: true,
      summary: 'check certificates and refuse plain http; false allows both to fall back',
    },
    {
      name: 'creds',
      value: 'USER[:PASS]',
      secret: true,
      summary: 'credentials for the one registry that the command names',
    },
    { name: 'authfile', value: 'FILE', summary: "credentials file in the form of Docker's config.json" },
    { name: 'cert-dir', value: 'DIR', summary: 'directory with *.crt (authorities), *.cert and *.key (client)' },
    {
      name: 'registry-version',
      value: 'VERSION',
      choices: ['auto', '1', '2'],
      default: 'auto',
      summary: 'registry protocol to speak',
    },
    { name: 'parallel', value: 'N', parse: wholeNumber(1), default: 6, summary: 'transfers at once to one registry' },
    {
      name: 'connections',
      value: 'N',
      parse: wholeNumber(1),
      summary: 'parts of one large blob to fetch at once; default: several where one connection is slow',
    },
    { name: 'limit-rate', value: 'BYTES', parse: parseSize, summary: 'bytes a second for all transfers together' },
    { name: 'retry', value: 'N', parse: wholeNumber(0), default: 3, summary: 'times a failed request is tried again' },
    {
      name: 'timeout',
      value: 'S',
      parse: wholeNumber(1),
      default: 60,
      summary: 'seconds without a byte before giving up',
    },
  ] satisfies OptionSpec[]
).map((option: OptionSpec) => ({ ...option, shared: true }));
