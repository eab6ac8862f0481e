import { expect } from 'chai';
import { APPLIERS, useLayerSandbox } from '../helpers/layer-sandbox.js';
import { randomSource } from '../helpers/random-source.js';
import type { TarEntry } from '../helpers/tar-writer.js';

const dir = (path: string): TarEntry => ({ path, type: 'dir' });
const file = (path: string, content = path.slice(path.lastIndexOf('/') + 1)): TarEntry => ({ path, content });
const link = (path: string, target: string): TarEntry => ({ path, type: 'link', target });
const hardLink = (path: string, target: string): TarEntry => ({ path, type: 'hardlink', target });
const gone = (path: string): TarEntry => {
  const slash = path.lastIndexOf('/') + 1;
  return { path: `${path.slice(0, slash)}.wh.${path.slice(slash)}` };
};
const opaque = (path = ''): TarEntry => ({ path: `${path}${path === '' ? '' : '/'}.wh..wh..opq` });

interface Case {
  readonly name: string;
  readonly lower: readonly TarEntry[];
  readonly upper: readonly TarEntry[];
  readonly want: readonly string[];
}

const D = [dir('d'), file('d/a'), file('d/b'), dir('d/sub'), file('d/sub/x')];

const CASES: readonly Case[] = [
  { name: 'a file', lower: D, upper: [gone('d/a')], want: ['d/', 'd/b = b', 'd/sub/', 'd/sub/x = x'] },
  { name: 'a directory with all it holds', lower: D, upper: [gone('d/sub')], want: ['d/', 'd/a = a', 'd/b = b'] },
  { name: 'at the top', lower: D, upper: [gone('d')], want: [] },
  { name: 'what is not there', lower: [file('a')], upper: [gone('b'), gone('no/b')], want: ['a = a'] },
  { name: 'below a file', lower: [file('a')], upper: [gone('a/b')], want: ['a = a'] },
  {
    name: 'a link, not what it leads to',
    lower: [...D, link('l', 'd')],
    upper: [gone('l'), gone('d/sub'), gone('d/a')],
    want: ['d/', 'd/b = b'],
  },
  { name: 'a link that leads nowhere', lower: [link('l', '/no')], upper: [gone('l')], want: [] },
  { name: 'one name of two', lower: [file('a'), hardLink('b', 'a')], upper: [gone('a')], want: ['b = a'] },
  { name: 'names of any bytes', lower: [file('\xff\n'), file('a')], upper: [gone('\xff\n')], want: ['a = a'] },
  { name: 'a whiteout that is a directory', lower: [file('a')], upper: [dir('.wh.a')], want: [] },
  {
    name: 'a whiteout with data',
    lower: [file('a')],
    upper: [{ ...gone('a'), content: 'data' }, file('b')],
    want: ['b = b'],
  },
  {
    name: 'a whiteout before its namesake',
    lower: [file('a', 'old')],
    upper: [gone('a'), file('a', 'new')],
    want: ['a = new'],
  },
  {
    name: 'a whiteout after its namesake',
    lower: [file('a', 'old')],
    upper: [file('a', 'new'), gone('a')],
    want: ['a = new'],
  },
  {
    name: 'a whiteout after a hard link of its name',
    lower: [file('a', 'old'), file('b')],
    upper: [hardLink('c', 'b'), gone('c')],
    want: ['a = old', 'b = b', 'c == b'],
  },
  {
    name: 'a whiteout before its directory, made anew',
    lower: D,
    upper: [gone('d'), dir('d'), file('d/new')],
    want: ['d/', 'd/new = new'],
  },
  {
    name: 'a whiteout after its directory',
    lower: D,
    upper: [dir('d'), file('d/sub/new'), gone('d')],
    want: ['d/', 'd/sub/', 'd/sub/new = new'],
  },
  {
    name: 'a whiteout after a file over a directory',
    lower: D,
    upper: [file('d', 'file'), gone('d')],
    want: ['d = file'],
  },
  { name: 'a directory over a file', lower: [file('a')], upper: [dir('a'), file('a/b')], want: ['a/', 'a/b = b'] },
  { name: 'a file over a directory with all it holds', lower: D, upper: [file('d', 'file')], want: ['d = file'] },
  {
    name: 'a directory again: what it holds stays',
    lower: [dir('d'), file('d/a')],
    upper: [dir('d')],
    want: ['d/', 'd/a = a'],
  },
  {
    name: 'a file below what the lower layer had as a file',
    lower: [file('a')],
    upper: [gone('a'), file('a/b')],
    want: ['a/', 'a/b = b'],
  },
  {
    name: 'an opaque marker before its siblings',
    lower: D,
    upper: [dir('d'), opaque('d'), file('d/new')],
    want: ['d/', 'd/new = new'],
  },
  {
    name: 'an opaque marker after its siblings',
    lower: D,
    upper: [dir('d'), file('d/new'), opaque('d')],
    want: ['d/', 'd/new = new'],
  },
  {
    name: 'an opaque marker after a sibling of a lower name',
    lower: D,
    upper: [file('d/a', 'new'), opaque('d')],
    want: ['d/', 'd/a = new'],
  },
  {
    name: 'an opaque marker after files deeper',
    lower: D,
    upper: [file('d/sub/new'), opaque('d')],
    want: ['d/', 'd/sub/', 'd/sub/new = new'],
  },
  {
    name: 'an opaque marker after a directory of the same name',
    lower: D,
    upper: [dir('d/sub'), opaque('d')],
    want: ['d/', 'd/sub/'],
  },
  {
    name: 'an opaque marker for the root',
    lower: D,
    upper: [file('n'), opaque(), file('m')],
    want: ['m = m', 'n = n'],
  },
  {
    name: 'an opaque marker without its directory',
    lower: D,
    upper: [opaque('no')],
    want: ['d/', 'd/a = a', 'd/b = b', 'd/sub/', 'd/sub/x = x'],
  },
  {
    name: 'an opaque marker in a new directory',
    lower: [file('a')],
    upper: [dir('n'), opaque('n'), file('n/x')],
    want: ['a = a', 'n/', 'n/x = x'],
  },
  {
    name: 'an opaque marker twice',
    lower: D,
    upper: [opaque('d'), file('d/a', 'new'), opaque('d')],
    want: ['d/', 'd/a = new'],
  },
  {
    name: 'a whiteout through a link above it',
    lower: [...D, link('l', 'd')],
    upper: [gone('l/a'), gone('l/sub')],
    want: ['d/', 'd/b = b', 'l -> d'],
  },
  {
    name: 'an opaque marker through a link',
    lower: [...D, link('l', '/d')],
    upper: [file('l/new'), opaque('l')],
    want: ['d/', 'd/new = new', 'l -> /d'],
  },
  {
    name: 'an own file through a link, marker by its own path',
    lower: [...D, link('l', 'd')],
    upper: [file('l/new'), opaque('d')],
    want: ['d/', 'd/new = new', 'l -> d'],
  },
  {
    name: 'an own file by its path, marker through a link',
    lower: [...D, link('l', 'd')],
    upper: [file('d/new'), opaque('l')],
    want: ['d/', 'd/new = new', 'l -> d'],
  },
  {
    name: 'an own file through a link, whiteout of it by its path',
    lower: [...D, link('l', 'd')],
    upper: [file('l/a', 'new'), gone('d/a')],
    want: ['d/', 'd/a = new', 'd/b = b', 'd/sub/', 'd/sub/x = x', 'l -> d'],
  },
  {
    name: 'a whiteout through a link, then one of the directory itself',
    lower: [...D, link('l', 'd')],
    upper: [gone('l/a'), gone('d')],
    want: ['l -> d'],
  },
  {
    name: 'an opaque marker through a link to the root',
    lower: [...D, link('l', '/')],
    upper: [file('new'), opaque('l')],
    want: ['new = new'],
  },
  {
    name: 'leftovers of AUFS',
    lower: [file('a')],
    upper: [
      file('.wh..wh.aufs'),
      dir('.wh..wh.orph'),
      file('.wh..wh.orph/x'),
      dir('.wh..wh.plnk'),
      file('.wh..wh.plnk/1.2'),
      file('d/.wh..wh.foo'),
      file('b'),
    ],
    want: ['a = a', 'b = b'],
  },
  {
    name: 'hard links into AUFS’s .wh..wh.plnk: the file under its real names',
    lower: [],
    upper: [
      dir('.wh..wh.plnk'),
      file('.wh..wh.plnk/12.34', 'data'),
      dir('d'),
      hardLink('d/a', '.wh..wh.plnk/12.34'),
      hardLink('b', '/.wh..wh.plnk/12.34'),
    ],
    want: ['b = data', 'd/', 'd/a == b'],
  },
  {
    name: 'the same name hidden again and again',
    lower: [file('a')],
    upper: [gone('a'), gone('a'), file('a', '1'), gone('a'), file('a', '2')],
    want: ['a = 2'],
  },
];

for (const [where, applier] of Object.entries(APPLIERS))
  describe(`whiteouts, unpacked ${where}`, () => {
    const use = useLayerSandbox({ applier });

    for (const { name, lower, upper, want } of CASES)
      it(name, async () => {
        await use.sandbox.apply(lower, upper);
        expect(use.sandbox.tree()).to.deep.equal(want);
      });

    it('hide nothing of their own layer: random layers against a model', async () => {
      const random = randomSource();
      for (let round = 0; round < 15; round += 1) {
        let model = new Map<string, string>();
        const history: string[] = [];
        const { sandbox } = use;
        for (let layer = 0; layer < 4; layer += 1) {
          const { entries, next } = randomLayer(model, random.below);
          model = next;
          history.push(entries.map(({ path, type }) => `${path}${type === 'dir' ? '/' : ''}`).join(' '));
          await sandbox.apply(entries);
          const want = [...model].map(([path, content]) => (content === '/' ? `${path}/` : `${path} = ${content}`));
          expect(sandbox.tree().sort(), `seed ${random.seed}, layers:\n${history.join('\n')}`).to.deep.equal(
            want.sort(),
          );
        }
        await sandbox.apply([opaque()]);
        expect(sandbox.tree()).to.be.empty;
      }
    });
  });

/**
 * A random layer and what it must make of `lower`, computed without regard to the order of whiteouts and entries. Trees
 * are path → content, `/` for a directory.
 */
function randomLayer(
  lower: ReadonlyMap<string, string>,
  below: (bound: number) => number,
): { entries: TarEntry[]; next: Map<string, string> } {
  const names = ['a', 'b', 'c'];
  const randomPath = (): string => Array.from({ length: 1 + below(3) }, () => names[below(3)]!).join('/');
  const own = new Map<string, string>();
  const entries: TarEntry[] = [];
  const hidden: string[] = [];
  const emptied: string[] = [];
  for (let index = 0; index < 8; index += 1) {
    const path = randomPath();
    const parents = path
      .split('/')
      .map((_, at, parts) => parts.slice(0, at).join('/'))
      .slice(1);
    switch (below(5)) {
      case 0:
        hidden.push(path);
        entries.push(gone(path));
        break;
      case 1:
        emptied.push(path);
        entries.push(opaque(path));
        break;
      default: {
        // One layer gives a name one kind, so that the order of its entries says nothing.
        const isDir = below(3) === 0;
        if (parents.some((parent) => (own.get(parent) ?? '/') !== '/')) break;
        if (own.has(path) && (own.get(path) === '/') !== isDir) break;
        for (const parent of parents) {
          if (!own.has(parent)) entries.push(dir(parent));
          own.set(parent, '/');
        }
        const content = `${below(1000)}`;
        own.set(path, isDir ? '/' : content);
        entries.push(isDir ? dir(path) : file(path, content));
      }
    }
  }
  const isIn = (path: string, above: string): boolean => path.startsWith(`${above}/`);
  const next = new Map<string, string>();
  for (const [path, content] of lower) {
    const isHidden =
      hidden.some((name) => path === name || isIn(path, name)) || emptied.some((name) => isIn(path, name));
    const isBelowFile = [...own].some(([name, kind]) => kind !== '/' && isIn(path, name));
    if (!isHidden && !isBelowFile) next.set(path, content);
  }
  for (const [path, content] of own) {
    if (content === '/' && next.has(path) && next.get(path) !== '/') next.delete(path);
    next.set(path, content);
  }
  return { entries, next };
}
