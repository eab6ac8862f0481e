import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as errors from '../../lib/errors.js';
import { EXIT_OF_ERROR, exitCodeOf, reportError } from '../../lib/cli/index.js';

/** Every concrete class of lib/errors.ts with an instance of it. */
const INSTANCES = Object.entries(errors)
  .filter(([, value]) => typeof value === 'function' && value.prototype instanceof errors.ImgtoolError)
  .map(([name, value]) => {
    const Class = value as new (message: string, options: object) => errors.ImgtoolError;
    return [name, new Class('m', { errno: 'EIO', input: 'x', text: 'x', output: [] })] as const;
  });

describe('exit codes', () => {
  it('every error class has one, and no code is without a class', () => {
    expect(Object.keys(EXIT_OF_ERROR)).to.have.members(INSTANCES.map(([, error]) => error.code));
  });

  it('docs/errors.md lists every class with its code and exit code', () => {
    const rows = readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `(\w+)` \| `(\w+)` \| .+ \| (\d+) \|$/gm);
    const listed = [...rows].map(([, name, code, exit]) => ({ name, code, exit: Number(exit) }));
    const wanted = INSTANCES.map(([name, error]) => ({ name, code: error.code, exit: exitCodeOf(error) }));
    expect(listed).to.have.deep.members(wanted);
  });

  const node = (code: string): Error => Object.assign(new Error('x'), { code });
  for (const { name, error, want } of [
    { name: 'a cancellation', error: new DOMException('x', 'AbortError'), want: 9 },
    { name: 'a full disk met by node', error: node('ENOSPC'), want: 8 },
    {
      name: 'a full disk met by a system call',
      error: new errors.SyscallError('x', { errno: 'EDQUOT', syscall: 'write' }),
      want: 8,
    },
    { name: 'a bug', error: new TypeError('x'), want: 1 },
    { name: 'something that is no error', error: 'x', want: 1 },
  ])
    it(`${name} is ${want}`, () => {
      expect(exitCodeOf(error)).to.equal(want);
    });
});

describe('error reports', () => {
  it('of very long texts are made at once', () => {
    const text = `${'a:@'.repeat(300_000)} ${'a'.repeat(300_000)} ${'a:'.repeat(300_000)}@sha256:1`;
    expect(new errors.UsageError(text).message).to.match(/^\*\*\*@ a+ (?:a:)+@sha256:1$/);
  });

  for (const [text, want] of [
    ['"me:secret@reg.example/app"', '"***@reg.example/app"'],
    ['me:se@cr:et@reg.example:5000/app:1', '***@reg.example:5000/app:1'],
    ['https://me:secret@reg.example/', '***@reg.example/'],
    ['me:secret@localhost', '***@localhost'],
    [`me:secret@reg.example/app:1@sha256:${'0'.repeat(64)}`, `***@reg.example/app:1@sha256:${'0'.repeat(64)}`],
    ['me:secret@shared:5000/x', '***@shared:5000/x'],
    [`localhost:5000/app:1@sha256:${'0'.repeat(64)}`, undefined],
    ['"a:1@sha256:abc" is bad', undefined],
    ['a:1@sha512', undefined],
    ['me@reg.example/app', undefined],
  ] as const)
    it(`of ${text} ${want === undefined ? 'repeat it' : 'hide the password'}, in the message, the work and the facts`, () => {
      const shown = want ?? text;
      const error = new errors.InvalidReferenceError(`bad ${text}`, { input: text });
      expect(error.message).to.equal(`bad ${shown}`);
      const report = reportError(new errors.NotFoundError(text, { kind: 'image', subject: text }), `pull ${text}`);
      expect(report.text).to.equal(`imgtool: pull ${shown} failed: ${shown}`);
      expect(report.json.error).to.include({ message: shown, command: `pull ${shown}`, subject: shown });
      expect(reportError(new TypeError(text), 'x').text).to.include(`failed: ${shown}\n`);
    });

  it('are one line and a hint, without what a terminal obeys (CVE-2026-53488)', () => {
    const error = new errors.UsageError('bad \x1b[2Jname\u202e', { hint: 'try\x07' });
    const { text } = reportError(error, 'pull x\x1b');
    expect(text).to.equal('imgtool: pull x\\x1b failed: bad \\x1b[2Jname\\u{202e}\nhint: try\\x07');
  });

  it('carry the facts for programs', () => {
    const error = new errors.DigestMismatchError('m', { expected: 'a', actual: 'b', cause: new Error('inner') });
    expect(reportError(error, 'pull x').json.error).to.deep.equal({
      code: 'ERR_IMGTOOL_DIGEST_MISMATCH',
      message: 'm',
      command: 'pull x',
      exitCode: 6,
      expected: 'a',
      actual: 'b',
    });
  });

  it('never show a stack, even when a message has several lines', () => {
    const report = reportError(new TypeError('first\nat second'), 'images');
    expect(report.text.split('\n')[0]).to.equal('imgtool: images failed: first');
    expect(report.text).to.not.include('second');
  });
});
