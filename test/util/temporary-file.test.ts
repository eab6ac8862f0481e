import { closeSync, mkdtempSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { openTemporary, openTemporarySync } from '../../lib/util/index.js';
import { rejection } from '../helpers/rejection.js';

describe('util/temporary-file', () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'imgtool-temporary-'))));
  afterEach(() => rmSync(directory, { recursive: true }));

  it('has no name', async () => {
    const [fd, file] = [openTemporarySync(directory), await openTemporary(directory)];
    expect(readdirSync(directory)).to.deep.equal([]);
    writeSync(fd, 'x');
    await file.writeFile('x');
    closeSync(fd);
    await file.close();
  });

  it('a directory that is none is told with what to do', async () => {
    writeFileSync(join(directory, 'file'), '');
    for (const path of [join(directory, 'missing'), join(directory, 'file')])
      for (const open of [openTemporary, async (at: string) => Promise.resolve(openTemporarySync(at))]) {
        const error = await rejection(open(path));
        expect(error).to.be.instanceOf(UsageError);
        expect(error.message).to.include(`the directory for temporary files ${path} cannot be written: `);
        expect(error.hint).to.equal('set TMPDIR to another directory');
      }
  });
});
