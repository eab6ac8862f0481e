import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { findUser } from '../../lib/runtime/find-user.js';
import { makeMountPoints, removeMountPoints } from '../../lib/runtime/mount-points.js';
import { planMounts } from '../../lib/runtime/plan-mounts.js';
import { listTree } from '../helpers/tree-listing.js';

describe('runtime', () => {
  let directory: string;
  let root: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-runtime-'));
    root = join(directory, 'root');
    shell(`mkdir -p root/etc outside; printf '%s\n' root:x:0:0::/root:/bin/sh app:x:1000:100::/srv:/bin/sh \
      1234:x:7:8:: '#no:x:5:5::/:' huge:x:99999999999:1::/:/ >root/etc/passwd; printf '%s\n' root:x:0: extra:x:77:other,app \
      more:x:78:app app:x:1000: >root/etc/group`);
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const shell = (script: string): void => void execFileSync('sh', ['-ec', script], { cwd: directory });

  describe('findUser', () => {
    const root0 = { uid: 0, gid: 0, additionalGids: [], home: '/root' };
    const app = { uid: 1000, gid: 100, additionalGids: [77, 78], home: '/srv' };
    for (const [text, want] of [
      ['', root0],
      ['root', root0],
      ['0', root0],
      ['app', app],
      ['1000', app],
      ['app:extra', { ...app, gid: 77, additionalGids: [] }],
      ['app:5', { ...app, gid: 5, additionalGids: [] }],
      [':extra', { ...root0, gid: 77 }],
      ['4321', { uid: 4321, gid: 0, additionalGids: [], home: '/' }],
      // A name that looks like a number is a name first.
      ['1234', { uid: 7, gid: 8, additionalGids: [], home: '/' }],
    ] as const)
      it(`${JSON.stringify(text)} is user ${want.uid}, group ${want.gid}`, () => {
        expect(findUser(root, text)).to.deep.equal(want);
      });
    for (const text of ['nobody', 'app:none', '#no', 'huge', '4294967295', '-1', 'app:-1'])
      it(`${text} is refused`, () => {
        expect(() => findUser(root, text)).to.throw(/there is no (user|group)/);
      });

    it('reads no file outside of the container, and no device', () => {
      shell(`echo evil:x:5:5::/:/ >outside/passwd; ln -sf ${directory}/outside/passwd root/etc/passwd`);
      expect(() => findUser(root, 'evil')).to.throw('there is no user evil');
      shell('rm root/etc/passwd; mkfifo root/etc/passwd');
      expect(findUser(root, '3').uid).to.equal(3);
    });
  });

  describe('mount points', () => {
    const plan = (cwd = '/'): ReturnType<typeof planMounts> =>
      planMounts({ network: 'none', volumes: [] }, { directory, hostname: 'box', cwd });

    for (const [title, script] of [
      ['an empty root', 'rm -r root/etc'],
      ['one that has everything', 'cd root; mkdir proc sys dev; touch etc/hosts etc/hostname'],
      [
        'links instead of files',
        `cd root; ln -s /run/a/b etc/hosts; ln -s ../../../outside/x etc/hostname; ln -s /data proc`,
      ],
      ['a link for a directory', `rm -r root/etc; ln -s made/below root/etc; touch -d 1999-01-01 root`],
      ['a link that leads out', 'ln -s $PWD/outside/file root/etc/hosts'],
    ] as const)
      it(`all that was made goes again, and no time changes: ${title}`, () => {
        shell(script);
        const [before, outside] = [listTree(root), statSync(join(directory, 'outside'), { bigint: true }).mtimeNs];
        const journal = join(directory, 'journal');
        const { points } = plan('/work/deep');
        makeMountPoints(root, points, journal);
        removeMountPoints(root, journal);
        expect([...listTree(root)]).to.deep.equal([...before]);
        expect(readdirSync(join(directory, 'outside'))).to.deep.equal([]);
        expect(statSync(join(directory, 'outside'), { bigint: true }).mtimeNs).to.equal(outside);
      });

    it('what was put into them stays, with the time it gave the directory', () => {
      const journal = join(directory, 'journal');
      makeMountPoints(root, plan('/work').points, journal);
      shell('echo x >root/work/kept; echo y >root/etc/hosts; touch -d 2001-01-01 root');
      removeMountPoints(root, journal);
      expect(readdirSync(root).sort()).to.deep.equal(['etc', 'work']);
      expect(readdirSync(join(root, 'etc')).sort()).to.deep.equal(['group', 'hosts', 'passwd']);
      expect(statSync(root).mtime.toISOString()).to.match(/^200[01]-/);
    });

    it('a process that died between two steps leaves nothing either', () => {
      const journal = join(directory, 'journal');
      shell('touch -d 1999-01-01 root');
      const before = listTree(root);
      makeMountPoints(root, plan().points, journal);
      // As after a kill right after mkdir: the time of the directory is wrong, the journal not done.
      shell('touch root; sed -i /done/d journal');
      removeMountPoints(root, journal);
      expect([...listTree(root)]).to.deep.equal([...before]);
      removeMountPoints(root, journal);
    });

    it('volumes come in the order of their depth, over the default mounts, and nested ones make nothing', () => {
      writeFileSync(join(directory, 'file'), '');
      const { mounts, points } = planMounts(
        {
          network: 'none',
          volumes: [
            { source: directory, target: '/data/in', readOnly: true },
            { source: directory, target: '/data/', readOnly: false },
            { source: join(directory, 'file'), target: '/etc/hosts', readOnly: false },
          ],
        },
        { directory, hostname: 'box', cwd: '/data/in/x' },
      );
      const paths = mounts.map(({ destination }) => destination);
      expect(paths.indexOf('/data')).to.be.lessThan(paths.indexOf('/data/in'));
      expect(mounts.find(({ destination }) => destination === '/data/in')!.options).to.include('ro');
      expect(mounts.filter(({ destination }) => destination === '/etc/hosts')).to.have.length(1);
      expect(points.map(({ path }) => path).sort()).to.deep.equal([
        '/data',
        '/dev',
        '/etc/hostname',
        '/etc/hosts',
        '/proc',
        '/sys',
      ]);
      const volume = { source: directory, target: '/', readOnly: false };
      expect(() =>
        planMounts({ network: 'none', volumes: [volume] }, { directory, hostname: 'box', cwd: '/' }),
      ).to.throw();
    });

    it('are where the paths lead inside the root', () => {
      shell('ln -s /real root/proc; ln -s /run/hosts root/etc/hosts');
      makeMountPoints(root, plan().points, join(directory, 'journal'));
      expect(lstatSync(join(root, 'real')).isDirectory()).to.equal(true);
      expect(lstatSync(join(root, 'run/hosts')).isFile()).to.equal(true);
      expect(existsSync('/real')).to.equal(false);
    });
  });
});
