import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { walkChanges } from '../../lib/rootfs/index.js';
import { sendChanges } from '../../lib/snapshot/find-changes.js';
import { changes, type SnapshotOrigin } from '../../lib/snapshot/index.js';
import { SendSurprise } from '../../lib/snapshot/send/stream.js';
import { listMarked } from '../../lib/snapshot/inode-traits.js';
import { freezeContainer, originBelow, removeTree } from '../../lib/snapshot/subvolumes.js';
import {
  AT_FDCWD,
  createSubvolume,
  destroySubvolume,
  OPEN_DIRECTORY,
  openAt,
  setTimesAt,
  setXattr,
  snapshotSubvolume,
} from '../../lib/sys/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { applyBtrfsEdits, applyEdits, makeBase, randomFrom } from '../helpers/edit-script.js';
import { rejection } from '../helpers/rejection.js';
import { renderChanges } from '../helpers/render-changes.js';
import { listTree, type TreeEntry } from '../helpers/tree-listing.js';

/** Trees that are edited and compared together. */
const TREES = 100;

/** A second opinion that shares no code with the comparison: kind and path, changed hard links apart. */
function naiveDiff(lower: string, upper: string): string[] {
  const [was, is] = [listTree(lower), listTree(upper)];
  const plain = (entry: TreeEntry | undefined): string =>
    JSON.stringify({ ...entry, linkGroup: '', size: entry?.type === 'file' ? entry.size : '' });
  const found: string[] = [];
  for (const [path, entry] of is) {
    if (!was.has(path)) found.push(`A /${path}`);
    else if (plain(was.get(path)) !== plain(entry)) found.push(`C /${path}`);
  }
  for (const path of was.keys()) {
    const parent = is.get(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.');
    if (!is.has(path) && parent?.type === 'dir') found.push(`D /${path}`);
  }
  return found.map((line) => line.replace(/ \/\.$/, ' /'));
}

/** A tree without the attributes that are btrfs's own. */
function plainTree(root: string): TreeEntry[] {
  const isPlain = ([name]: [string, string]): boolean => !name.startsWith('btrfs.');
  return [...listTree(root).values()].map((entry) => ({
    ...entry,
    xattrs: Object.fromEntries(Object.entries(entry.xattrs).filter(isPlain)),
  }));
}

const kindAndPath = (line: string): string => line.split(' ').slice(0, 2).join(' ');

const btrfs = (...args: string[]): void => void execFileSync('btrfs', args, { stdio: ['ignore', 'ignore', 'inherit'] });

describe('snapshot/changes', () => {
  let dir: string;
  let [base, work, frozen] = ['', '', ''];
  beforeEach(() => {
    dir = btrfsDirectory('changes');
    [base, work, frozen] = ['base', 'work', 'frozen'].map((name) => join(dir, name)) as [string, string, string];
    btrfs('subvolume', 'create', `${base}-rw`);
    makeBase(`${base}-rw`, randomFrom(1));
    btrfs('subvolume', 'snapshot', '-r', `${base}-rw`, base);
    btrfs('subvolume', 'snapshot', base, work);
  });

  async function both(): Promise<string[]> {
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const sent = renderChanges(await sendChanges({ lower: base, upper: frozen }));
    expect(sent).to.deep.equal(renderChanges(await walkChanges(base, frozen)));
    return sent;
  }

  it('nothing changed: nothing is listed', async () => expect(await both()).to.deep.equal([]));

  it('sees a rewrite of the same size with its mtime put back', async () => {
    const path = join(work, 'd0/f0');
    const { mtimeNs, size } = fs.statSync(path, { bigint: true });
    fs.writeFileSync(path, 'x'.repeat(Number(size)));
    setTimesAt(AT_FDCWD, path, mtimeNs);
    expect(await both()).to.deep.equal([`C /d0/f0 file content ${size} ${size}`]);
  });

  const edits: { title: string; edit: (path: string) => void; want: RegExp }[] = [
    { title: 'a mode alone', edit: (path) => fs.chmodSync(path, 0o600), want: /^C \/d0\/f0 file mode \d+ \d+$/ },
    { title: 'an owner alone', edit: (path) => fs.chownSync(path, 3, 4), want: /^C \/d0\/f0 file owner \d+ \d+$/ },
    { title: 'a time alone', edit: (path) => setTimesAt(AT_FDCWD, path, 7n), want: /^C \/d0\/f0 file mtime \d+ \d+$/ },
    {
      title: 'an attribute alone',
      edit: (path) => setXattr(path, 'user.binary', Buffer.from([0, 255])),
      want: /^C \/d0\/f0 file xattr \d+ \d+$/,
    },
    {
      title: 'a renamed file',
      edit: (path) => fs.renameSync(path, `${path}x`),
      want: /^C \/d0 directory mtime\nD \/d0\/f0 file \d+\nA \/d0\/f0x file \d+$/,
    },
    {
      title: 'a removed hard link, and nothing of the name that stays',
      edit: (path) => fs.rmSync(join(path, '../s/linked')),
      want: /^C \/d0\/s directory mtime\nD \/d0\/s\/linked file \d+$/,
    },
    {
      title: 'a linked file written through one name, at all names',
      edit: (path) => fs.appendFileSync(join(path, '../s/linked'), 'x'),
      want: /^C \/d0\/f3 file content,mtime \d+ \d+\nC \/d0\/s\/linked file content,mtime \d+ \d+$/,
    },
    {
      title: 'a directory replaced by a new one of that name',
      edit: (path) => {
        const directory = join(path, '../s');
        fs.rmSync(directory, { recursive: true });
        fs.mkdirSync(directory);
        fs.writeFileSync(join(directory, 'new'), '');
      },
      want: /^C \/d0 .*\nC \/d0\/s directory mtime\nD \/d0\/s\/linked file \d+\nA \/d0\/s\/new file 0\nD \/d0\/s\/t directory$/,
    },
    {
      title: 'a directory replaced by a link that leads out',
      edit: (path) => {
        const directory = join(path, '../s');
        fs.rmSync(directory, { recursive: true });
        fs.symlinkSync('/var/empty', directory);
      },
      want: /^C \/d0 directory mtime\nC \/d0\/s symlink type$/,
    },
    {
      title: 'names that are not UTF-8',
      edit: (path) => fs.writeFileSync(Buffer.concat([Buffer.from(path), Buffer.from([0xff, 0x0a])]), ''),
      want: /\nA \/d0\/f0\\xff\\x0a file 0$/,
    },
  ];
  for (const { title, edit, want } of edits)
    it(`sees ${title}`, async () => {
      edit(join(work, 'd0/f0'));
      expect((await both()).join('\n')).to.match(want);
    });

  it('takes 65,000 hard links of one file (case 30)', async function () {
    const links = join(work, 'links');
    fs.mkdirSync(links);
    for (let link = 0; link < 65_000; link++) fs.linkSync(join(work, 'd0/f0'), join(links, `l${link}`));
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const found = renderChanges(await sendChanges({ lower: base, upper: frozen }));
    expect(found.filter((line) => line.startsWith('A /links/l'))).to.have.lengthOf(65_000);
    expect(found.filter((line) => !line.startsWith('A /links/l')).map(kindAndPath)).to.deep.equal([
      'C /',
      'C /d0/f0',
      'A /links',
    ]);
  });

  it('falls back to the walk for paths longer than send can name', async function () {
    let fd = openAt(AT_FDCWD, work, OPEN_DIRECTORY);
    for (let level = 0; level < 40; level++) {
      const name = 'n'.repeat(200);
      fs.mkdirSync(`/proc/self/fd/${fd}/${name}`);
      const inner = openAt(fd, name, OPEN_DIRECTORY);
      fs.closeSync(fd);
      fd = inner;
    }
    fs.closeSync(fd);
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const notes: string[] = [];
    const found = await changes({ lower: base, upper: frozen, onNote: (line) => notes.push(line) });
    expect(found.filter((change) => change.kind === 'A')).to.have.lengthOf(40);
    expect(notes).to.have.lengthOf(1);
  });

  it('sees every name of a hard-linked file, and directories that swap names', async () => {
    fs.linkSync(join(work, 'd0/f0'), join(work, 'd1/other'));
    fs.renameSync(join(work, 'd2'), join(work, 'x'));
    fs.renameSync(join(work, 'd3'), join(work, 'd2'));
    fs.renameSync(join(work, 'x'), join(work, 'd3'));
    const lines = await both();
    expect(lines.join('\n'))
      .to.match(/C \/d0\/f0 file link/)
      .and.match(/A \/d1\/other file/);
  });

  it('walks, and says so, where there is a nested subvolume or no common history', async () => {
    btrfs('subvolume', 'create', join(work, 'd0/nested'));
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const notes: string[] = [];
    const found = await changes({ lower: base, upper: frozen, onNote: (line) => notes.push(line) });
    expect(renderChanges(found)).to.include('A /d0/nested directory');
    btrfs('subvolume', 'create', join(dir, 'other'));
    btrfs('subvolume', 'snapshot', '-r', join(dir, 'other'), join(dir, 'unrelated'));
    await changes({ lower: join(dir, 'unrelated'), upper: base, onNote: (line) => notes.push(line) });
    expect(notes.join('\n')).to.match(/contains a subvolume\n.*neither tree is a snapshot of the other/);
  });

  it('an empty directory in the place of a subvolume is not the same as a real one', async () => {
    btrfs('subvolume', 'create', join(work, 'd0/nested'));
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const whole = join(dir, 'whole');
    await freezeContainer(whole, { id: 'work', path: work, trash: dir });
    expect(renderChanges(await walkChanges(frozen, whole))).to.deep.equal(['C /d0/nested directory type']);
    expect(await walkChanges(whole, whole)).to.deep.equal([]);
  });

  it('walks when the lower tree was written to after all', async () => {
    btrfs('property', 'set', '-ts', base, 'ro', 'false');
    fs.writeFileSync(join(base, 'late'), '');
    btrfs('property', 'set', '-ts', base, 'ro', 'true');
    btrfs('subvolume', 'snapshot', '-r', work, frozen);
    const notes: string[] = [];
    const found = await changes({ lower: base, upper: frozen, onNote: (line) => notes.push(line) });
    expect(renderChanges(found)).to.include('D /late file 0');
    expect(notes.join()).to.match(/written to after/);
  });

  it('knows the layer through a chain of snapshots', async () => {
    for (const name of ['one', 'two']) {
      btrfs('subvolume', 'snapshot', work, join(dir, name));
      work = join(dir, name);
      fs.writeFileSync(join(work, name), '');
    }
    expect((await both()).map(kindAndPath)).to.deep.equal(['C /', 'A /one', 'A /two']);
  });

  it('knows from records how layers are related whose containers are gone', async () => {
    const random = randomFrom(7);
    const path = (name: string): string => join(dir, name);
    const origins: SnapshotOrigin[] = [];
    for (const [from, box, layer] of [
      ['base', 'box1', 'layer1'],
      ['layer1', 'box2', 'layer2'],
    ] as const) {
      btrfs('subvolume', 'snapshot', path(from), path(box));
      applyEdits(path(box), random);
      btrfs('subvolume', 'snapshot', '-r', path(box), path(layer));
      origins.push((await originBelow(path(layer)))!);
      btrfs('subvolume', 'delete', path(box));
      expect(await originBelow(path(layer))).to.equal(undefined);
    }
    const send = async (lower: string, upper: string, recorded: SnapshotOrigin[]): Promise<string[]> =>
      renderChanges(
        await sendChanges({
          lower: path(lower),
          upper: path(upper),
          recordedOrigins: () => Promise.resolve(recorded),
        }),
      );
    for (const [lower, upper] of [
      ['base', 'layer1'],
      ['layer1', 'layer2'],
      ['base', 'layer2'],
      ['layer2', 'base'],
    ] as const) {
      const walked = renderChanges(await walkChanges(path(lower), path(upper)));
      expect(await send(lower, upper, origins), `${lower} to ${upper}`).to.deep.equal(walked);
    }
    const [first, second] = origins as [SnapshotOrigin, SnapshotOrigin];
    for (const recorded of [
      [],
      [second],
      [{ ...first, uuid: second.uuid }],
      [{ ...first, parentUuid: first.uuid }],
      [{ ...first, parentUuid: second.uuid }],
      [{ ...first, transaction: first.transaction + 0.5 }],
      // The lower tree is newer than that.
      [{ ...first, transaction: 1 }],
    ])
      expect(await rejection(send('base', 'layer1', recorded)), JSON.stringify(recorded)).to.be.instanceOf(
        SendSurprise,
      );
    btrfs('property', 'set', '-ts', base, 'ro', 'false');
    fs.writeFileSync(join(base, 'late'), '');
    btrfs('property', 'set', '-ts', base, 'ro', 'true');
    expect(await rejection(send('base', 'layer1', origins))).to.be.instanceOf(SendSurprise);
  });

  it('random edits, flags and subvolumes: send tells what a walk tells, frozen trees are those of the containers', async function () {
    const seed = Number(process.env['IMGTOOL_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    const scripts = Number(process.env['IMGTOOL_TEST_SCRIPTS'] ?? 2000);
    this.timeout(180_000 + scripts * 200);
    const random = randomFrom(seed);
    const root = openAt(AT_FDCWD, dir, OPEN_DIRECTORY);
    const snapshot = async (from: string, to: string, readOnly: boolean): Promise<void> => {
      const fd = openAt(root, from, OPEN_DIRECTORY);
      await snapshotSubvolume(fd, root, to, { readOnly }).finally(() => fs.closeSync(fd));
    };
    try {
      // Snapshots are dear, scripts are not: many small trees, each with a script of its own, share one pair of snapshots.
      await createSubvolume(root, 'forest');
      for (let tree = 0; tree < TREES; tree++) {
        fs.mkdirSync(join(dir, `forest/t${tree}`));
        makeBase(join(dir, `forest/t${tree}`), random);
      }
      await snapshot('forest', 'lower', true);
      for (let done = 0; done < scripts; done += TREES) {
        await snapshot('lower', 'edited', false);
        const logs = Array.from({ length: TREES }, (_, tree) => applyEdits(join(dir, `edited/t${tree}`), random));
        // A tenth of the trees in a fifth of the rounds: subvolumes are dear. Not in those that compare two moments.
        const withMarks = (done / TREES) % 5 === 1;
        const marked = withMarks ? Array.from({ length: TREES / 10 }, (_, tree) => `t${tree}`) : [];
        for (const tree of marked) await applyBtrfsEdits(join(dir, 'edited', tree), random);
        for (const tree of marked) applyEdits(join(dir, 'edited', tree), random);
        await freezeContainer(join(dir, 'upper'), { id: 'edited', path: join(dir, 'edited'), trash: dir });
        expect([...listMarked(join(dir, 'upper'))], `IMGTOOL_TEST_SEED=${seed}`).to.deep.equal([]);
        for (const tree of marked)
          expect(plainTree(join(dir, 'upper', tree)), `IMGTOOL_TEST_SEED=${seed}, after ${done} scripts`).to.deep.equal(
            plainTree(join(dir, 'edited', tree)),
          );
        const sent = renderChanges(await sendChanges({ lower: join(dir, 'lower'), upper: join(dir, 'upper') }));
        const walked = renderChanges(await walkChanges(join(dir, 'lower'), join(dir, 'upper')));
        if (sent.join('\n') !== walked.join('\n')) {
          const wrong = [...sent, ...walked].find((line) => sent.includes(line) !== walked.includes(line)) ?? '';
          const tree = Number(/\/t(\d+)/.exec(wrong)?.[1] ?? 0);
          const own = (lines: string[]): string[] => lines.filter((line) => line.includes(`/t${tree}`));
          const script = `IMGTOOL_TEST_SEED=${seed}, after ${done} scripts, tree ${tree}\n${logs[tree]?.join('\n')}`;
          expect(own(sent), script).to.deep.equal(own(walked));
        }
        if (done === 0)
          expect(sent.filter((line) => !/^C \S+ \S+ link( |$)/.test(line)).map(kindAndPath)).to.have.members(
            naiveDiff(join(dir, 'lower'), join(dir, 'upper')),
          );
        // Backwards, and between two moments of one tree.
        if (done % (10 * TREES) === 0) {
          for (let tree = 0; tree < TREES; tree++) applyEdits(join(dir, `edited/t${tree}`), random);
          await snapshot('edited', 'later', true);
          for (const [from, to] of [
            ['upper', 'lower'],
            ['upper', 'later'],
            ['later', 'upper'],
          ] as const) {
            const trees = { lower: join(dir, from), upper: join(dir, to) };
            const [back, walk] = [await sendChanges(trees), await walkChanges(trees.lower, trees.upper)];
            expect(
              renderChanges(back),
              `IMGTOOL_TEST_SEED=${seed}, ${from} to ${to}, after ${done} scripts`,
            ).to.deep.equal(renderChanges(walk));
          }
          await destroySubvolume(root, 'later');
        }
        for (const name of ['edited', 'upper']) await removeTree(join(dir, name), dir);
      }
    } finally {
      fs.closeSync(root);
    }
  });
});
