import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { walkChanges } from '../../lib/rootfs/index.js';
import { changes, sendChanges } from '../../lib/snapshot/changes.js';
import { AT_FDCWD, setTimesAt } from '../../lib/sys/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { applyEdits, makeBase, randomFrom } from '../helpers/edit-script.js';
import { renderChanges } from '../helpers/render-changes.js';

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
    const scripts = Number(process.env['IMGTOOL_TEST_SCRIPTS'] ?? 40);
    this.timeout(60_000 + scripts * 1000);
    for (let script = 0; script < scripts; script++) {
      const random = randomFrom(seed + script);
      const [edited, upper] = [join(dir, `e${script}`), join(dir, `u${script}`)];
      btrfs('subvolume', 'snapshot', base, edited);
      const log = applyEdits(edited, random);
      btrfs('subvolume', 'snapshot', '-r', edited, upper);
      const sent = renderChanges(await sendChanges({ lower: base, upper }));
      const walked = renderChanges(await walkChanges(base, upper));
      expect(sent, `IMGTOOL_TEST_SEED=${seed + script}\n${log.join('\n')}`).to.deep.equal(walked);
    }
  });
});
