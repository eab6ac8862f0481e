import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createOutputFile } from '../../lib/util/index.js';

describe('util/output-file', () => {
  let directory: string;
  const at = (path: string): string => join(directory, path);
  const isLink = (path: string): boolean => lstatSync(at(path)).isSymbolicLink();
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-output-'));
    mkdirSync(at('else'));
    writeFileSync(at('else/file'), 'before');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function write(path: string, text: string, keep: boolean): Promise<void> {
    const file = await createOutputFile(at(path));
    file.stream.end(text);
    await once(file.stream, 'finish');
    if (keep) await file.keep();
    await file.discard();
  }

  it('writes what a link names, and leaves the link', async () => {
    symlinkSync('else/file', at('link'));
    await write('link', 'dropped', false);
    expect(readFileSync(at('else/file'), 'utf8')).to.equal('before');
    await write('link', 'after', true);
    expect(isLink('link')).to.equal(true);
    expect(readFileSync(at('else/file'), 'utf8')).to.equal('after');
    expect(readdirSync(at('else'))).to.deep.equal(['file']);
    expect(readdirSync(directory)).to.deep.equal(['else', 'link']);
  });

  it('leaves links to devices and to what is not there yet', async () => {
    symlinkSync('/dev/null', at('null'));
    symlinkSync('else/new', at('dangling'));
    for (const link of ['null', 'dangling']) {
      await write(link, 'text', true);
      expect(isLink(link), link).to.equal(true);
    }
    expect(readFileSync(at('else/new'), 'utf8')).to.equal('text');
    expect(lstatSync('/dev/null').isCharacterDevice()).to.equal(true);
  });

  it('makes a file that takes its name in the end', async () => {
    await write('new', 'dropped', false);
    expect(existsSync(at('new'))).to.equal(false);
    await write('new', 'text', true);
    expect(readFileSync(at('new'), 'utf8')).to.equal('text');
  });
});
