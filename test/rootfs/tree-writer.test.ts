import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDirectoryTree, openTreeWriter } from '../../lib/rootfs/index.js';
import { rejection } from '../helpers/rejection.js';

const ATTRIBUTES = { mode: 0o640, uid: 0, gid: 0, mtimeNs: -1_500_000_000n, xattrs: new Map() };

describe('rootfs/TreeWriter', () => {
  let base: string;
  beforeEach(() => (base = mkdtempSync(join(tmpdir(), 'imgtool-writer-'))));
  afterEach(() => rmSync(base, { recursive: true, force: true }));
  const writer = (): ReturnType<typeof openTreeWriter> =>
    openTreeWriter(base, { onRefused: () => undefined, signal: new AbortController().signal });

  it('writes times before 1970 with fractions', async () => {
    const tree = writer();
    try {
      const [fd, size] = [openSync(import.meta.filename, 'r'), statSync(import.meta.filename).size];
      const open = () => Promise.resolve({ fd, offset: 0, size, close: () => closeSync(fd) });
      await tree.putFile('a', ATTRIBUTES, { size, open });
      expect(readFileSync(join(base, 'a'))).to.deep.equal(readFileSync(import.meta.filename));
      expect(tree.node('a')?.mtimeNs).to.equal(-1_500_000_000n);
    } finally {
      tree.close();
    }
  });

  for (const size of [1000, 600_000]) {
    it(`says that a file of ${size} bytes became shorter while it was copied`, async () => {
      writeFileSync(join(base, 'from'), Buffer.alloc(size, 1));
      const [source, tree] = [openDirectoryTree(base), writer()];
      try {
        const open = async () => {
          const content = await source.open('from', source.node('from')!);
          truncateSync(join(base, 'from'), size / 2);
          return content;
        };
        const error = await rejection(tree.putFile('to', ATTRIBUTES, { size, open }));
        expect(error.message).to.equal('from was changed while it was read');
        expect(error.hint).to.contain('stop the process');
      } finally {
        tree.close();
        source.close();
      }
    });
  }
});
