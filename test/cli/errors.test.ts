import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as errors from '../../lib/errors.js';
import { EXIT_OF_ERROR, exitCodeOf, reportError } from '../../lib/cli/index.js';

/** Every concrete class of lib/errors.ts with an instance of it. */
const INSTANCES = Object.entries(errors)
  .filter(([name, value]) => name.endsWith('Error') && typeof value === 'function' && name !== 'ImgtoolError')
  .map(([name, value]) => {
    const Class = value as new (message: string, options: object) => errors.ImgtoolError;
    return [name, new Class('m', { errno: 'EIO' })] as const;
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
