import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, lchownSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { removeMemoryFiles, writeMemoryFiles } from '../../lib/runtime/memory-files.js';

const NOBODY = 65534;

describe('runtime/memory-files', () => {
  const id = randomBytes(32).toString('hex');
  const directory = `/dev/shm/imgtool-${id}`;
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('writes files that only their owner reads, and removes them', () => {
    const file = { target: '/run/secrets/a', content: Buffer.from('secret'), mode: 0o400, uid: 5, gid: 6 };
    const [volume] = writeMemoryFiles(id, [file]);
    const { mode, uid, gid } = statSync(volume!.source);
    expect({ mode: mode & 0o7777, uid, gid }).to.deep.equal({ mode: 0o400, uid: 5, gid: 6 });
    expect(statSync(directory).mode & 0o7777).to.equal(0o700);
    removeMemoryFiles(id);
    expect(existsSync(directory)).to.equal(false);
    removeMemoryFiles(id);
  });

  it('never enters a directory of another user, who could replace what is removed (case 36)', () => {
    mkdirSync(directory);
    writeFileSync(`${directory}/theirs`, '');
    execFileSync('chown', ['-R', String(NOBODY), directory]);
    removeMemoryFiles(id);
    expect(existsSync(`${directory}/theirs`)).to.equal(true);
  });

  it('never follows a link of another user (case 36)', () => {
    const target = `${directory}-target`;
    mkdirSync(target);
    try {
      writeFileSync(`${target}/kept`, '');
      symlinkSync(target, directory);
      lchownSync(directory, NOBODY, NOBODY);
      removeMemoryFiles(id);
      expect(existsSync(`${target}/kept`)).to.equal(true);
    } finally {
      rmSync(target, { recursive: true });
    }
  });
});
