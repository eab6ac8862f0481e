import { expect } from 'chai';
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '../../lib/util/index.js';

describe('util/make-directory', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'imgtool-directory-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const errno = (path: string): string | undefined => {
    try {
      makeDirectory(path);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };

  it('makes what is missing above it, with the mode asked for', () => {
    const path = join(root, 'a/b/c');
    makeDirectory(path, 0o750);
    for (const made of [path, join(root, 'a')]) expect(statSync(made).mode & 0o777).to.equal(0o750);
    makeDirectory(path);
    expect(statSync(path).mode & 0o777).to.equal(0o750);
    makeDirectory(`${root}/d/../e/`);
    expect(existsSync(join(root, 'e'))).to.equal(true);
  });

  it('takes a link to a directory for one, and nothing else', () => {
    symlinkSync('.', join(root, 'link'));
    makeDirectory(join(root, 'link'));
    makeDirectory(join(root, 'link/new'));
    expect(existsSync(join(root, 'new'))).to.equal(true);
    symlinkSync('nowhere', join(root, 'dangling'));
    writeFileSync(join(root, 'file'), '');
    expect(errno(join(root, 'dangling'))).to.equal('EEXIST');
    expect(errno(join(root, 'file'))).to.equal('EEXIST');
    expect(errno(join(root, 'file/below'))).to.equal('ENOTDIR');
  });

  it('ends where the kernel makes no directories', () => {
    expect(errno('/proc/imgtool')).to.equal('ENOENT');
    expect(errno('/proc/imgtool/below')).to.equal('ENOENT');
    expect(errno('')).to.equal('ENOENT');
  });
});
