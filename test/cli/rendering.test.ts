import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  barLine,
  createProgressSink,
  formatTable,
  jsonText,
  localTime,
  ProgressModel,
  readSchedule,
  Terminal,
  totalText,
  VERSION,
} from '../../lib/cli/index.js';
import { UsageError } from '../../lib/errors.js';
import { parseAge } from '../../lib/util/index.js';
import type { ProgressEvent } from '../../lib/progress/index.js';
import { escapeText, formatSize, parseSize } from '../../lib/util/index.js';

function fetchEvent(
  state: ProgressEvent['state'],
  transferred?: number,
  digest = `sha256:${'ab'.repeat(32)}`,
): ProgressEvent {
  const bytes = transferred === undefined ? {} : { transferred };
  return { v: 1, kind: 'blob', action: 'fetch', digest, state, total: 1000, ...bytes };
}

/** A stream that keeps what is written. */
class Memory {
  text = '';
  readonly isTTY: boolean;
  columns = 60;
  readonly rows = 8;
  constructor(isTTY = false) {
    this.isTTY = isTTY;
  }
  write(data: string | Uint8Array): void {
    this.text += Buffer.from(data as Uint8Array).toString();
  }
}

describe('rendering', () => {
  it('the version is that of package.json', () => {
    expect(VERSION).to.equal((JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version);
  });

  it('tables are aligned, wide characters counted as two, cells escaped (hostile-input 27)', () => {
    const rows = [
      ['日本', '1B'],
      ['a\x1b[31m', '12kB'],
    ];
    const lines = formatTable({ columns: ['NAME', { title: 'SIZE', align: 'right' }], rows });
    expect(lines).to.deep.equal(['NAME       SIZE', '日本         1B', 'a\\x1b[31m  12kB']);
  });

  for (const { bytes, want } of [
    { bytes: 0, want: '0B' },
    { bytes: 999, want: '999B' },
    { bytes: 999_999, want: '1MB' },
    { bytes: 12_345, want: '12.3kB' },
    { bytes: 813e6, want: '813MB' },
  ])
    it(`${bytes} bytes are ${want}`, () => {
      expect(formatSize(bytes)).to.equal(want);
    });

  it('sizes are parsed with decimal and binary units', () => {
    expect(['10', '1k', '1.5Ki', '64GiB', '2MB'].map(parseSize)).to.deep.equal([10, 1000, 1536, 64 * 2 ** 30, 2e6]);
    for (const bad of ['', '-1', '1e3', '10X', '99999999999T'])
      expect(() => parseSize(bad), bad).to.throw('is not a size');
  });

  it('text for a terminal loses every character it would obey', () => {
    for (let code = 0; code < 0x3000; code += 1) {
      const shown = escapeText(String.fromCodePoint(code));

      expect(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test(shown), code.toString(16)).to.equal(false);
    }
    expect(escapeText('plain ünïcode 日本')).to.equal('plain ünïcode 日本');
  });

  it('JSON holds no C1 controls or bidirectional marks, and means the same', () => {
    const value = { a: 'x\u009b31m\u202e\x7f' };

    expect(jsonText(value)).to.not.match(/[\x7f-\x9f\u202e]/);
    expect(JSON.parse(jsonText(value))).to.deep.equal(value);
  });

  it('raw bytes are untouched in a pipe and escaped on a terminal', () => {
    const bytes = Buffer.from('{"a":\n"\u009b2J"}');
    const [pipe, screen] = [new Memory(), new Memory(true)];
    new Terminal(pipe, new Memory(), {}).result({ bytes });
    new Terminal(screen, new Memory(), {}).result({ bytes });
    expect(pipe.text).to.equal(bytes.toString());
    expect(screen.text).to.equal('{"a":\n"\\x9b2J"}');
  });
});

describe('what the reader can show', () => {
  const result = { json: [], text: ['├─ a', '└─ é'], colourOf: () => 'green' as const };
  const report = { exitCode: 1, text: 'imgtool: x failed: y\nhint: z …', json: { error: {} } };

  for (const { env, screen, stdout, stderr } of [
    { env: { LANG: 'C' }, screen: false, stdout: '|- a\n`- é\n', stderr: 'imgtool: x failed: y\nhint: z ...\n' },
    {
      env: { LANG: 'de_DE.UTF-8' },
      screen: false,
      stdout: '├─ a\n└─ é\n',
      stderr: 'imgtool: x failed: y\nhint: z …\n',
    },
    { env: { LANG: 'C.utf8', LC_ALL: 'C' }, screen: false, stdout: '|- a\n`- é\n', stderr: undefined },
    { env: { LANG: 'C', NO_COLOR: '1' }, screen: true, stdout: '|- a\n`- é\n', stderr: undefined },
    { env: { LANG: 'C', TERM: 'dumb' }, screen: true, stdout: '|- a\n`- é\n', stderr: undefined },
    {
      env: { LC_CTYPE: 'C.UTF-8', NO_COLOR: '' },
      screen: true,
      stdout: '\x1b[32m├─ a\x1b[0m\n\x1b[32m└─ é\x1b[0m\n',
      stderr: '\x1b[31mimgtool:\x1b[0m x failed: y\nhint: z …\n',
    },
  ])
    it(`on a ${screen ? 'terminal' : 'pipe'} with ${JSON.stringify(env)}`, async () => {
      const [out, err] = [new Memory(screen), new Memory(screen)];
      const terminal = new Terminal(out, err, env);
      terminal.result(result);
      await terminal.error(report, undefined);
      expect(out.text).to.equal(stdout);
      if (stderr !== undefined) expect(err.text).to.equal(stderr);
    });
});

describe('progress', () => {
  it('no bar is wider than the terminal', () => {
    const item = new ProgressModel().take(fetchEvent('active', 300), 0);
    for (const columns of [1, 10, 40, 80, 120]) expect(barLine(item, columns, 2000).length).to.be.at.most(columns);
    expect(barLine(item, 100, 2000)).to.match(
      /^abababababab {2}downloading \[=+> +\] {2}300B\/1kB {2}150B\/s {2}eta 5s$/,
    );
  });

  it('totals leave out what was present, and tell rate and time left', () => {
    const model = new ProgressModel();
    model.take(fetchEvent('skipped', undefined, 'sha256:cd'), 0);
    for (let at = 0; at <= 1000; at += 100) model.take(fetchEvent('active', at / 2), at);
    expect(totalText(model.totals(1000))).to.equal('500B of 1kB (50%), 500B/s, eta 1s');
  });

  it('plain: one line a layer, said once', () => {
    const stream = new Memory();
    const sink = createProgressSink(stream, { mode: 'auto', quiet: false, notes: true });
    sink.event(fetchEvent('active', 10));
    sink.event(fetchEvent('done', 1000));
    const unpack = { ...fetchEvent('done', 3000), kind: 'layer', action: 'unpack', total: 3000 } as const;
    sink.event(unpack);
    sink.event(unpack);
    sink.event(fetchEvent('skipped', undefined, 'sha256:cdcdcdcdcdcdcdcd'));
    sink.close();
    expect(stream.text.split('\n')).to.deep.equal(['abababababab: unpacked 3kB', 'cdcdcdcdcdcd: already present', '']);
  });

  it('tty: bars are redrawn in place and fit the screen', () => {
    const stream = new Memory(true);
    const sink = createProgressSink(stream, { mode: 'auto', quiet: false, notes: true });
    for (let i = 0; i < 30; i += 1) sink.event(fetchEvent('active', 10, `sha256:${i.toString(16).padStart(64, '0')}`));
    sink.note('remark \x1b[2J');
    sink.close();
    expect(stream.text).to.include('imgtool: remark \\x1b[2J\n').and.include('more');
    const screen = stream.text.split('\x1b[J').at(-1)!.split('\n');
    expect(screen.length).to.be.at.most(stream.rows);
  });

  it('tty: a line that a narrower terminal has broken in two is taken off as a whole', () => {
    const stream = new Memory(true);
    const sink = createProgressSink(stream, { mode: 'auto', quiet: false, notes: true });
    for (const digest of ['ab', 'cd']) sink.event(fetchEvent('active', 300, `sha256:${digest.repeat(32)}`));
    sink.note('one');
    const lines = stream.text.split('\x1b[J').at(-1)!.trimEnd().split('\n').slice(1);
    expect(lines).to.have.length(3);
    const widest = Math.max(...lines.map((line) => line.length));
    expect(widest).to.be.greaterThan(20);
    stream.columns = 20;
    stream.text = '';
    sink.note('two');
    const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / 20), 0);
    expect(rows).to.be.greaterThan(3);
    expect(stream.text).to.match(new RegExp(`^\\x1b\\[${rows}A\\r\\x1b\\[J`));
    // What is drawn now fits: nothing is broken any more.
    stream.text = '';
    sink.close();
    expect(stream.text).to.match(/^\x1b\[3A\r/);
  });

  it('json: every event as a line; quiet: nothing', () => {
    const [json, quiet] = [new Memory(), new Memory()];
    createProgressSink(json, { mode: 'json', quiet: false, notes: true }).event(fetchEvent('done', 1000));
    expect(JSON.parse(json.text)).to.deep.equal(fetchEvent('done', 1000));
    const silent = createProgressSink(quiet, { mode: 'json', quiet: true, notes: true });
    silent.event(fetchEvent('done', 1000));
    silent.note('x');
    expect(quiet.text).to.equal('');
  });

  it('intervals and times of cron, which vary a little, never with another day', async () => {
    const interval = await readSchedule('15m', parseAge, () => 0.5);
    expect(interval.startsNow).to.equal(true);
    expect(interval.next() - Date.now()).to.be.closeTo(900_000, 2000);
    const [early, late] = await Promise.all([0, 0.999].map((x) => readSchedule('30 3 * * 1', parseAge, () => x)));
    expect(early!.startsNow).to.equal(false);
    expect(localTime(early!.next())).to.match(/^20\d\d-\d\d-\d\d 03:30:00 \S+$/);
    expect(new Date(early!.next()).getDay()).to.equal(1);
    expect(late!.next() - early!.next()).to.be.within(59_000, 60_000);
    for (const bad of ['', 'soon', '15', '* * * *', '61 * * * *', '0 0 30 2 *', '@never', '0 0 3 * * * 2020']) {
      const error = await readSchedule(bad, parseAge).catch((reason: unknown) => reason);
      expect(error, bad).to.be.instanceOf(UsageError);
    }
  });
});
