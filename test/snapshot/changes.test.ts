import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { walkChanges } from '../../lib/rootfs/index.js';
import { changes, sendChanges } from '../../lib/snapshot/changes.js';
import {
  AT_FDCWD,
  createSubvolume,
  destroySubvolume,
  OPEN_DIRECTORY,
  openAt,
  setTimesAt,
  snapshotSubvolume,
} from '../../lib/sys/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { applyEdits, makeBase, randomFrom } from '../helpers/edit-script.js';
import { renderChanges } from '../helpers/render-changes.js';

/** Trees that are edited and compared together. */
const TREES = 100;

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
    await changes({ lower: frozen, upper: base, onNote: (line) => notes.push(line) });
    expect(notes.join('\n')).to.match(/holds a subvolume\n.*no snapshot of the other/);
  });

  it('random edits: send tells what a walk tells', async function () {
    const seed = Number(process.env['IMGTOOL_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    const scripts = Number(process.env['IMGTOOL_TEST_SCRIPTS'] ?? 2000);
    this.timeout(60_000 + scripts * 200);
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
        await snapshot('edited', 'upper', true);
        const sent = renderChanges(await sendChanges({ lower: join(dir, 'lower'), upper: join(dir, 'upper') }));
        const walked = renderChanges(await walkChanges(join(dir, 'lower'), join(dir, 'upper')));
        if (sent.join('\n') !== walked.join('\n')) {
          const wrong = [...sent, ...walked].find((line) => sent.includes(line) !== walked.includes(line)) ?? '';
          const tree = Number(/\/t(\d+)/.exec(wrong)?.[1] ?? 0);
          const own = (lines: string[]): string[] => lines.filter((line) => line.includes(`/t${tree}`));
          const script = `IMGTOOL_TEST_SEED=${seed}, after ${done} scripts, tree ${tree}\n${logs[tree]?.join('\n')}`;
          expect(own(sent), script).to.deep.equal(own(walked));
        }
        for (const name of ['edited', 'upper']) await destroySubvolume(root, name);
      }
    } finally {
      fs.closeSync(root);
    }
  });
});
