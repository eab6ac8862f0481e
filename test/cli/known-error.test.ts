import { expect } from 'chai';
import { reportError, exitCodeOf } from '../../lib/cli/index.js';
import { PartialError, StoreError } from '../../lib/errors.js';

/** An error as node throws it. */
function nodeError(code: string, errno: number, path?: string): Error {
  return Object.assign(new Error(`${code}: write`), { code, errno, syscall: 'write', path });
}

describe('errors of disks', () => {
  const edquot = nodeError('Unknown system error -122', -122, '/store/file');

  it('a quota that is reached, for which node has no name: exit 8, and how to raise it', () => {
    const { exitCode, text } = reportError(edquot, 'pull a');
    expect(exitCode).to.equal(8);
    expect(text).to.match(
      /^imgtool: pull a failed: the disk quota is reached: cannot write \/store\/file\nhint: .*quota/,
    );
  });

  it('a full disk below an interruption or an error of the store: exit 8, and no word of a bug', () => {
    const full = nodeError('ENOSPC', -28);
    const interrupted = Object.assign(new Error('the operation was aborted', { cause: full }), { name: 'AbortError' });
    for (const error of [
      full,
      interrupted,
      new StoreError('a record cannot be written', { path: '/store', cause: full }),
    ]) {
      const { exitCode, text } = reportError(error, 'commit box');
      expect(exitCode, text).to.equal(8);
      expect(text)
        .to.match(/\nhint: /)
        .and.not.match(/report|interrupted/);
    }
  });

  it('work that is partly done keeps its own exit code', () => {
    const error = new PartialError('1 of 2 failed', { failures: ['a'], cause: nodeError('ENOSPC', -28) });
    expect(exitCodeOf(error)).to.equal(10);
  });

  it('a read-only file system, a limit of file sizes, a broken disk: their meaning and a hint, and no word of a bug', () => {
    for (const [code, errno] of [
      ['EROFS', -30],
      ['EFBIG', -27],
      ['EIO', -5],
      ['Unknown system error -117', -117],
    ] as const) {
      const { exitCode, text } = reportError(nodeError(code, errno, '/x'), 'commit box');
      expect(exitCode, text).to.equal(7);
      expect(text)
        .to.match(/\nhint: /)
        .and.not.match(/report/);
    }
  });
});
