import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { APPLIERS, useLayerSandbox, type TestLayer } from '../helpers/layer-sandbox.js';
import { rejection } from '../helpers/rejection.js';
import { padded, paxRecord, tarHeader, type TarEntry } from '../helpers/tar-writer.js';

/** Layers, given the path of a directory outside of the root, and what must come of them: a tree or an error's class. */
interface Case {
  readonly name: string;
  readonly layers: (outside: string) => readonly TestLayer[];
  readonly want: readonly string[] | 'PathEscapeError' | 'LayerFormatError';
}

const one =
  (...entries: readonly TarEntry[]): (() => readonly TestLayer[]) =>
  () => [entries];
const dir = (path: string): TarEntry => ({ path, type: 'dir' });
const file = (path: string, content = 'x'): TarEntry => ({ path, content });
const link = (path: string, target: string): TarEntry => ({ path, type: 'link', target });
const hardLink = (path: string, target: string): TarEntry => ({ path, type: 'hardlink', target });

/** A file whose PAX header gives it a name that may hold anything. */
function paxNamed(name: string): Buffer {
  const records = paxRecord('path', Buffer.from(name, 'latin1'));
  return Buffer.concat([
    tarHeader({ path: 'PaxHeaders/entry', flag: 'x', mode: 0o644, size: records.length }),
    padded(records),
    tarHeader({ path: 'short', flag: '0', mode: 0o644, size: 1 }),
    padded(Buffer.from('x')),
    Buffer.alloc(1024),
  ]);
}

const levels = (count: number): string => Array.from({ length: count }, () => 'd').join('/');

const CASES: Readonly<Record<string, readonly Case[]>> = {
  'entry names (CVE-2014-6407, CVE-2014-9356, CVE-2020-10696, CVE-2021-32804)': [
    { name: '../x', layers: one(file('../x')), want: 'PathEscapeError' },
    { name: 'a/../../x', layers: one(file('a/../../x')), want: 'PathEscapeError' },
    { name: '.. as a directory', layers: one(dir('..')), want: 'PathEscapeError' },
    { name: '/../x', layers: one(file('/../x')), want: 'PathEscapeError' },
    { name: 'an absolute name', layers: one(file('/abs/x')), want: ['abs/', 'abs/x = x'] },
    { name: '//x and .//x', layers: one(file('//x'), file('.//y')), want: ['x = x', 'y = x'] },
    { name: '///../x', layers: one(file('///../x')), want: 'PathEscapeError' },
    { name: 'a name in PAX that escapes', layers: () => [paxNamed('../../x')], want: 'PathEscapeError' },
    { name: 'a name in PAX with a NUL', layers: () => [paxNamed('a\0b')], want: 'LayerFormatError' },
    { name: 'a header name that a NUL ends, as GNU tar', layers: one(file('ok\0/../../x')), want: ['ok = x'] },
    { name: 'no name', layers: one(file('')), want: 'LayerFormatError' },
    { name: '512 levels', layers: one(dir(levels(512))), want: [...Array(512).keys()].map((i) => `${levels(i + 1)}/`) },
    { name: '5,000 levels', layers: one(dir(levels(5000))), want: 'LayerFormatError' },
    { name: 'a component of 256 bytes', layers: one(file('n'.repeat(256))), want: 'LayerFormatError' },
    { name: 'a directory of 256 bytes', layers: one(file(`${'n'.repeat(256)}/x`)), want: 'LayerFormatError' },
    { name: 'a/../x', layers: one(file('a/../x')), want: ['x = x'] },
    { name: 'a/../../x behind more names', layers: one(file('a/b/../../../x')), want: 'PathEscapeError' },
    {
      name: '.. through a link that leads out',
      layers: (o) => [[link('d', o), file('d/../x')]],
      want: ['d -> OUTSIDE', 'x = x'],
    },
    { name: 'a whiteout behind ..', layers: () => [[file('b'), file('c')], [file('a/../.wh.b', '')]], want: ['c = x'] },
    { name: 'a whiteout of ..', layers: one(file('a/.wh...', '')), want: 'LayerFormatError' },
  ],
  'a symbolic link as parent (CVE-2014-6407, CVE-2015-8860, CVE-2021-32803)': [
    { name: 'absolute', layers: (outside) => [[link('d', outside), file('d/x')]], want: 'LayerFormatError' },
    { name: 'relative', layers: one(link('d', '../outside'), file('d/x')), want: 'LayerFormatError' },
    {
      name: 'many ..',
      layers: one(link('d', '../'.repeat(40)), file('d/x')),
      want: ['d -> ' + '../'.repeat(40), 'x = x'],
    },
    { name: 'two hops', layers: (o) => [[link('a', o), link('b', 'a/dir'), file('b/x')]], want: 'LayerFormatError' },
    { name: 'to the root', layers: one(link('d', '/'), file('d/x')), want: ['d -> /', 'x = x'] },
    {
      name: 'inside',
      layers: one(dir('in'), link('d', '/in'), file('d/x')),
      want: ['d -> /in', 'in/', 'in/x = x'],
    },
    { name: 'to itself', layers: one(link('d', 'd'), file('d/x')), want: 'LayerFormatError' },
    { name: 'to /proc/self/root', layers: one(link('d', '/proc/self/root'), file('d/x')), want: 'LayerFormatError' },
    {
      name: 'as the entry itself: replaced, not followed',
      layers: (o) => [[link('d', `${o}/secret`), file('d', 'mine')]],
      want: ['d = mine'],
    },
    {
      name: 'a directory over a link to one: replaced, not followed',
      layers: (o) => [[link('d', `${o}/dir`), dir('d'), file('d/x')]],
      want: ['d/', 'd/x = x'],
    },
  ],
  'a link planted by an earlier layer (CVE-2021-32760, CVE-2021-29136)': [
    { name: 'write', layers: (o) => [[link('etc', o)], [file('etc/x')]], want: 'LayerFormatError' },
    {
      name: 'whiteout',
      layers: (o) => [[link('etc', o)], [file('etc/.wh.secret', '')]],
      want: ['etc -> OUTSIDE'],
    },
    {
      name: 'opaque marker',
      layers: (o) => [[link('etc', o)], [file('etc/.wh..wh..opq', '')]],
      want: ['etc -> OUTSIDE'],
    },
    {
      name: 'hard link',
      layers: (o) => [[link('etc', o)], [hardLink('x', 'etc/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'chmod by an entry for the directory below',
      layers: (o) => [[link('etc', o)], [{ ...dir('etc/dir'), mode: 0o777 }]],
      want: 'LayerFormatError',
    },
    {
      name: 'chmod by an entry for the link itself',
      layers: (o) => [[link('etc', o)], [{ ...dir('etc'), mode: 0o777 }]],
      want: ['etc/'],
    },
    {
      name: 'a fifo over a link',
      layers: (o) => [[link('etc', `${o}/secret`)], [{ path: 'etc', type: 'fifo', uid: 7, mode: 0o4666 }]],
      want: ['etc (fifo)'],
    },
  ],
  'the root and whiteouts without a name (CVE-2021-29136)': [
    { name: 'root as a link', layers: (o) => [[link('.', o), file('x')]], want: 'LayerFormatError' },
    { name: 'root as a link, ./', layers: (o) => [[link('./', o), file('x')]], want: 'LayerFormatError' },
    { name: 'root as a file', layers: one(file('.')), want: 'LayerFormatError' },
    { name: 'root as a hard link', layers: one(file('a'), hardLink('.', 'a')), want: 'LayerFormatError' },
    { name: 'root as a directory', layers: one(dir('.'), dir('/'), file('x')), want: ['x = x'] },
    { name: '.wh.', layers: one(file('.wh.', '')), want: 'LayerFormatError' },
    { name: '.wh..', layers: one(file('.wh..', '')), want: 'LayerFormatError' },
    { name: '.wh...', layers: one(file('.wh...', '')), want: 'LayerFormatError' },
    { name: 'd/.wh...', layers: one(dir('d'), file('d/.wh...', '')), want: 'LayerFormatError' },
    { name: '.wh.... hides a file of three dots', layers: () => [[file('...')], [file('.wh....', '')]], want: [] },
  ],
  'hard links (CVE-2018-20834, CVE-2025-48387, CVE-2026-23745, CVE-2026-26960)': [
    { name: 'absolute', layers: (o) => [[hardLink('x', `${o}/secret`)]], want: 'LayerFormatError' },
    { name: '..', layers: one(hardLink('x', '../outside/secret')), want: 'PathEscapeError' },
    { name: 'in/../..', layers: one(dir('in'), hardLink('x', 'in/../../outside/secret')), want: 'PathEscapeError' },
    {
      name: 'by a link as its parent',
      layers: (o) => [[link('d', o), hardLink('x', 'd/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'by a chain of links',
      layers: (o) => [[link('a', '..'), link('b', 'a/..'), link('c', `b/..${o}`), hardLink('x', 'c/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: '.. that stays inside',
      layers: one(file('f'), hardLink('d/x', 'd/../f')),
      want: ['d/', 'd/x = x', 'f == d/x'],
    },
    { name: 'before its file', layers: one(hardLink('x', 'y'), file('y')), want: 'LayerFormatError' },
    { name: 'to nothing', layers: one(hardLink('x', 'y')), want: 'LayerFormatError' },
    { name: 'to a directory', layers: one(dir('d'), hardLink('x', 'd')), want: 'LayerFormatError' },
    { name: 'to the root', layers: one(hardLink('x', '.')), want: 'LayerFormatError' },
    { name: 'to itself', layers: one(file('x'), hardLink('x', 'x')), want: ['x = x'] },
    {
      name: 'to a link, then a file over the hard link: nothing is written through',
      layers: (o) => [[link('a', `${o}/secret`), hardLink('b', 'a'), file('b', 'mine')]],
      want: ['a -> OUTSIDE/secret', 'b = mine'],
    },
    {
      name: 'then a file over it: the other name keeps its bytes',
      layers: () => [[file('a', 'old')], [hardLink('b', 'a'), file('b', 'new')]],
      want: ['a = old', 'b = new'],
    },
    {
      name: 'absolute, inside',
      layers: one(file('d/a'), hardLink('b', '/d/a')),
      want: ['b = x', 'd/', 'd/a == b'],
    },
  ],
  'a directory replaced by a link and used again (CVE-2021-37701, CVE-2021-37712, CVE-2026-23950)': [
    {
      name: 'directory, link, file',
      layers: (o) => [[dir('d'), file('d/a'), link('d', o), file('d/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'deeper, with siblings between',
      layers: (o) => [[file('a/b/c/1'), file('a/b/c/2'), link('a/b', o), file('a/b/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'reached by another name',
      layers: (o) => [[dir('a/b'), link('l', 'a'), file('l/b/1'), link('a/b', o), file('l/b/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'whiteout of the directory, then a link',
      layers: (o) => [[file('d/low')], [file('.wh.d', ''), link('d', o), file('d/x')]],
      want: 'LayerFormatError',
    },
    {
      name: 'a hard link through a directory that became a link',
      layers: (o) => [[file('d/secret'), hardLink('1', 'd/secret'), link('d', o), hardLink('2', 'd/secret')]],
      want: 'LayerFormatError',
    },
    {
      name: 'a hard link through a link that a hard link replaced',
      layers: one(
        file('one/f', '1'),
        file('two/f', '2'),
        link('to-two', 'two'),
        link('via', 'one'),
        hardLink('a', 'via/f'),
        hardLink('via', 'to-two'),
        hardLink('b', 'via/f'),
      ),
      want: ['a = 1', 'b = 2', 'one/', 'one/f == a', 'to-two -> two', 'two/', 'two/f == b', 'via == to-two'],
    },
    {
      name: 'case and Unicode forms are different names',
      layers: (o) => [
        [dir('D'), link('d', o), file('D/x'), dir('e\xcc\x81'), link('\xc3\xa9', o), file('e\xcc\x81/x')],
      ],
      want: ['D/', 'D/x = x', 'd -> OUTSIDE', 'e\xcc\x81/', 'e\xcc\x81/x = x', '\xc3\xa9 -> OUTSIDE'],
    },
  ],
};

for (const [where, applier] of Object.entries(APPLIERS))
  describe(`hostile layers, unpacked ${where}`, () => {
    const use = useLayerSandbox({ applier });

    for (const [title, cases] of Object.entries(CASES))
      describe(title, () => {
        for (const { name, layers, want } of cases)
          it(`${name}: ${typeof want === 'string' ? 'refused' : 'harmless'}`, async () => {
            const { sandbox } = use;
            const applied = sandbox.apply(...layers(sandbox.outside));
            if (typeof want === 'string') {
              const error = await rejection(applied);
              expect(error.name, error.message).to.equal(want);
              expect(error.message).to.not.include('\n');
            } else {
              await applied;
              expect(sandbox.tree()).to.deep.equal(want.map((line) => line.replace('OUTSIDE', sandbox.outside)));
            }
          });
      });

    it('132 levels of 30 bytes, the path longer than the kernel takes with that of the root: unpacked, removed', async () => {
      const deep = Array.from({ length: 132 }, (_, index) => String(index).padStart(30, 'd')).join('/');
      const { sandbox } = use;
      await sandbox.apply([dir(deep), file(`${deep}/x`), hardLink('x', `${deep}/x`)]);
      expect(lstatSync(join(sandbox.root, 'x')).nlink).to.equal(2);
      const error = await rejection(sandbox.apply([link('l', deep), file('l/y')]));
      expect(error.name, error.stack ?? '').to.equal('LayerFormatError');
      await sandbox.apply([file(`.wh.${deep.slice(0, 30)}`), file('.wh.l')]);
      expect(sandbox.tree()).to.deep.equal(['x = x']);
    });
  });
