import { openSync, closeSync, writeFileSync, mkdtempSync, mkdirSync, rmSync, ftruncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { isDiskFull } from '../../lib/errors.js';
import {
  createLayerApplier,
  createLayerIndexer,
  LayeredTree,
  LayerIndex,
  type TarLayer,
} from '../../lib/layer/index.js';
import { openDirectoryTree, type FileTree, type TreeNode } from '../../lib/rootfs/index.js';
import { GrowingFile } from '../../lib/util/index.js';
import { rejection } from '../helpers/rejection.js';
import { smallImage } from '../helpers/small-image.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';

/** Everything that a tree tells, by path. */
async function listing(tree: FileTree): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const groups = new Map<string, string>();
  const visit = async (path: string, node: TreeNode): Promise<void> => {
    const { type, mode, uid, gid, mtimeNs, target, device, xattrs, linkKey } = node;
    if (linkKey !== undefined && !groups.has(linkKey)) groups.set(linkKey, path);
    const content = type === 'file' ? await contentOf(tree, path, node) : '';
    const traits = {
      type,
      mode: type === 'symlink' ? 0 : mode,
      uid,
      gid,
      mtime: String(mtimeNs),
      target,
      device,
      content,
    };
    const attributes = [...xattrs].map(([name, value]) => [name, value.toString('hex')]);
    // The root is told of by no layer here.
    const first = linkKey === undefined ? path : groups.get(linkKey);
    if (path !== '') found.set(path, JSON.stringify({ ...traits, attributes, ...(first === path ? {} : { first }) }));
    if (type !== 'directory') return;
    for (const name of tree.names(path)) {
      const child = path === '' ? name : `${path}/${name}`;
      await visit(child, tree.node(child)!);
    }
  };
  await visit('', tree.node('')!);
  return found;
}

async function contentOf(tree: FileTree, path: string, node: TreeNode): Promise<string> {
  const { readContent } = await import('../../lib/operations/build-context/index.js');
  return readContent(await tree.open(path, node)).toString('latin1');
}

describe('LayeredTree', () => {
  let base: string;
  const opened: number[] = [];
  beforeEach(() => (base = mkdtempSync(join(tmpdir(), 'imgtool-layered-'))));
  afterEach(() => {
    opened.splice(0).forEach((fd) => closeSync(fd));
    rmSync(base, { recursive: true, force: true });
  });
  const file = (name: string): number => {
    const fd = openSync(join(base, name), 'w+');
    opened.push(fd);
    return fd;
  };

  async function compare(layers: readonly (readonly TarEntry[])[]): Promise<void> {
    const root = join(base, 'root');
    mkdirSync(root, { mode: 0o755 });
    const [applier, indexer] = [createLayerApplier(), createLayerIndexer()];
    const indexed: TarLayer[] = [];
    try {
      for (const [i, entries] of layers.entries()) {
        const tar = writeTar(entries);
        const fd = file(`${i}.tar`);
        writeFileSync(fd, tar);
        const growing = GrowingFile.complete(tar.length);
        const input = { fd, growing, size: tar.length, signal: new AbortController().signal };
        const applied = await applier.apply({ ...input, root });
        const [index, data] = [file(`${i}.index`), file(`${i}.data`)];
        expect((await indexer.index({ ...input, index, data })).diffId).to.equal(applied.diffId);
        indexed.push({ index: new LayerIndex(index), data: () => Promise.resolve(data) });
      }
    } finally {
      await applier.close();
      await indexer.close();
    }
    const directory = openDirectoryTree(root);
    try {
      const [wanted, found] = [await listing(directory), await listing(new LayeredTree(indexed))];
      expect(Object.fromEntries(found)).to.deep.equal(Object.fromEntries(wanted));
    } finally {
      directory.close();
    }
  }

  it('tells what unpacking gives: whiteouts, opaque directories, changed types, links across layers', async () => {
    await compare(smallImage(Buffer.from('program')).layers.map(({ entries }) => entries));
  });

  it('directories that are only implied, in any layer', async () => {
    await compare([
      [{ path: 'a/b/c', content: '1' }],
      [
        { path: 'a/b/d', content: '2' },
        { path: 'a', type: 'dir', mode: 0o700 },
      ],
      [{ path: 'a/.wh.b' }, { path: 'a/b/e/f', content: '3' }],
    ]);
  });

  it('names that sort around the slash, and a thousand of them', async () => {
    const names = ['a', 'a-b', 'a.b', 'a/b', 'a/b-c', 'a/b/c', 'a0'].filter((name) => !['a', 'a/b'].includes(name));
    const many = Array.from({ length: 1000 }, (_, i): TarEntry => ({
      path: `m/${(i * 7919) % 1000}`,
      content: String(i),
    }));
    await compare([[...names.map((path): TarEntry => ({ path, content: path })), ...many], [{ path: 'm/.wh.500' }]]);
  });

  it('hard links to a file whose first name is replaced later in the same tar', async () => {
    await compare([
      [
        { path: 'a', content: 'first' },
        { path: 'b', type: 'hardlink', target: 'a' },
        { path: 'a', content: 'second' },
        { path: 'c', type: 'hardlink', target: 'a' },
      ],
    ]);
  });

  for (const threadsOnly of [true, false])
    it(`a full disk is reported as such, ${threadsOnly ? 'by threads too' : 'in the calling thread'}`, async () => {
      const indexer = createLayerIndexer({ threadsOnly });
      const tar = writeTar([{ path: 'a', content: 'x' }]);
      const [fd, full] = [file('tar'), openSync('/dev/full', 'w')];
      opened.push(full);
      writeFileSync(fd, tar);
      const growing = GrowingFile.complete(tar.length);
      const input = { fd, growing, size: tar.length, signal: new AbortController().signal };
      try {
        for (const files of [{ index: full }, { index: file('index'), data: full }])
          expect(isDiskFull(await rejection(indexer.index({ ...input, ...files })))).to.equal(true);
      } finally {
        await indexer.close();
      }
    });

  it('an index that is cut is refused', async () => {
    const indexer = createLayerIndexer();
    try {
      const tar = writeTar([{ path: 'a', content: 'x' }]);
      const [fd, index] = [file('tar'), file('index')];
      writeFileSync(fd, tar);
      await indexer.index({
        fd,
        growing: GrowingFile.complete(tar.length),
        size: tar.length,
        index,
        signal: new AbortController().signal,
      });
      expect(new LayerIndex(index).find('a')?.size).to.equal(1);
      ftruncateSync(index, 50);
      expect(() => new LayerIndex(index)).to.throw('damaged');
    } finally {
      await indexer.close();
    }
  });
});
