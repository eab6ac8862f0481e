import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { findUser } from '../../lib/runtime/find-user.js';
import { makeMountPoints, readMountJournal, removeMountPoints } from '../../lib/runtime/mount-points.js';
import { planMounts } from '../../lib/runtime/plan-mounts.js';
import type { SeccompFilter } from '../../lib/runtime/seccomp.js';
import { compileSeccomp, type SeccompMachine } from '../../lib/runtime/seccomp-profile.js';
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

  describe('seccomp profiles', () => {
    const machine = { architecture: 'x64', kernel: '6.1.0-13-amd64' } as const;
    const compile = (profile: unknown, caps: string[] = [], on: SeccompMachine = machine): SeccompFilter =>
      compileSeccomp(typeof profile === 'string' ? profile : JSON.stringify(profile), caps, on);
    const rule = { names: ['x'], action: 'SCMP_ACT_ALLOW' };
    const withRule = (more: object): object => ({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ ...rule, ...more }] });

    it("takes podman's default, by capability and machine", () => {
      const text = readFileSync('/usr/share/containers/seccomp.json', 'utf8');
      const names = (caps: string[], on?: SeccompMachine): string[] =>
        compile(text, caps, on).syscalls.flatMap((entry) =>
          entry.action === 'SCMP_ACT_ALLOW' && entry.args === undefined ? entry.names : [],
        );
      const filter = compile(text);
      expect(filter.architectures).to.deep.equal(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
      expect([filter.defaultAction, filter.defaultErrnoRet]).to.deep.equal(['SCMP_ACT_ERRNO', 38]);
      expect(names([])).to.include.members(['openat', 'arch_prctl']).and.not.include.members(['chroot']);
      expect(names([])).not.to.include('breakpoint').and.not.to.include('bpf');
      expect(names(['CAP_SYS_CHROOT', 'CAP_SYS_ADMIN'])).to.include.members(['chroot', 'bpf']);
      const arm = { architecture: 'arm64', kernel: '6.1' } as const;
      expect(names([], arm)).to.include('breakpoint').and.not.to.include('arch_prctl');
      expect(compile(text, [], arm).architectures).to.deep.equal(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
    });

    for (const [more, applies] of [
      [{ includes: { minKernel: '4.8' } }, true],
      [{ includes: { minKernel: '6.1.9' } }, true],
      [{ includes: { minKernel: '6.2' } }, false],
      [{ excludes: { minKernel: '5.10' } }, false],
      [{ excludes: { minKernel: '10.0' } }, true],
      [{ includes: { caps: ['CAP_A', 'CAP_B'] } }, false],
      [{ includes: { caps: ['CAP_A'] }, excludes: { arches: ['arm'] } }, true],
      [{ excludes: { caps: ['CAP_B', 'CAP_A'] } }, false],
      [{ excludes: { arches: ['x86', 'amd64'] } }, false],
      [{ includes: null, excludes: {}, args: null, comment: 'any' }, true],
    ] as [object, boolean][])
      it(`a rule with ${JSON.stringify(more)} ${applies ? 'holds' : 'does not hold'}`, () => {
        expect(compile(withRule(more), ['CAP_A']).syscalls).to.deep.equal(applies ? [rule] : []);
      });

    it('the old form with name, conditions, errors and flags', () => {
      const args = [{ index: 1, value: 0xffff_ffff, op: 'SCMP_CMP_MASKED_EQ' }];
      const old = { name: 'open', action: 'SCMP_ACT_ERRNO', errno: 'EACCES', errnoRet: 1, args };
      const architectures = ['SCMP_ARCH_X86'];
      expect(
        compile({
          defaultAction: 'SCMP_ACT_ALLOW',
          architectures,
          flags: ['SECCOMP_FILTER_FLAG_LOG'],
          syscalls: [old],
        }),
      ).to.deep.equal({
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures,
        flags: ['SECCOMP_FILTER_FLAG_LOG'],
        syscalls: [{ names: ['open'], action: 'SCMP_ACT_ERRNO', errnoRet: 13, args: [{ ...args[0]!, valueTwo: 0 }] }],
      });
    });

    for (const [profile, why] of [
      ['{', /not JSON/],
      [[], /must be an object/],
      [{}, /defaultAction must be one of/],
      [{ ...withRule({}), defaultAction: 'ALLOW' }, /defaultAction/],
      [{ ...withRule({}), defaultErrno: 'ENONE' }, /not the name of an errno/],
      [{ ...withRule({}), architectures: ['a'], archMap: [{ architecture: 'b' }] }, /only one is allowed/],
      [{ ...withRule({}), listenerPath: '/x' }, /not supported/],
      [withRule({ names: [] }), /names no system call/],
      [withRule({ names: 'open' }), /syscalls\[0\]\.names must be a list/],
      [withRule({ name: 'open' }), /name and names/],
      [withRule({ action: 'SCMP_ACT_NOTIFY' }), /action must be/],
      [withRule({ args: [{ index: 6, op: 'SCMP_CMP_EQ' }] }), /index/],
      [withRule({ args: [{ index: 0, value: 2 ** 64, op: 'SCMP_CMP_EQ' }] }), /value must be an integer/],
      [withRule({ args: [{ index: 0, op: 'EQ' }] }), /op must be/],
      [withRule({ includes: { minKernel: 'new' } }), /not a kernel version/],
      [withRule({ includes: { arches: ['arm'] }, action: 'none' }), /action/],
    ] as const)
      it(`refuses ${JSON.stringify(profile)}`, () => {
        expect(() => compile(profile)).to.throw(UsageError, why);
      });
  });

  describe('mount points', () => {
    const plan = (cwd = '/'): ReturnType<typeof planMounts> =>
      planMounts({ network: 'none', volumes: [] }, { directory, hostname: 'box', cwd });

    for (const [title, script] of [
      ['an empty root', 'rm -r root/etc'],
      ['one that has everything', 'cd root; mkdir proc sys dev; touch etc/hosts etc/hostname'],
      ['links instead of files', `cd root; ln -s /run/a/b etc/hosts; ln -s ../../../outside/x etc/hostname`],
      ['a link for a directory', `rm -r root/etc; ln -s made/below root/etc; touch -d 1999-01-01 root`],
      ['a link that leads out', 'ln -s $PWD/outside/file root/etc/hosts'],
    ] as const)
      it(`all that was made goes again, and no time changes: ${title}`, () => {
        shell(script);
        const [before, outside] = [listTree(root), statSync(join(directory, 'outside'), { bigint: true }).mtimeNs];
        const journal = join(directory, 'journal');
        const { points } = plan('/work/deep');
        makeMountPoints(root, points, journal);
        removeMountPoints(root, readMountJournal(journal)!);
        expect([...listTree(root)]).to.deep.equal([...before]);
        expect(readdirSync(join(directory, 'outside'))).to.deep.equal([]);
        expect(statSync(join(directory, 'outside'), { bigint: true }).mtimeNs).to.equal(outside);
      });

    it('what was put into them stays, with the time it gave the directory', () => {
      const journal = join(directory, 'journal');
      makeMountPoints(root, plan('/work').points, journal);
      shell('echo x >root/work/kept; echo y >root/etc/hosts; touch -d 2001-01-01 root');
      removeMountPoints(root, readMountJournal(journal)!);
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
      removeMountPoints(root, readMountJournal(journal)!);
      expect([...listTree(root)]).to.deep.equal([...before]);
      removeMountPoints(root, readMountJournal(journal)!);
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

    it('have modes that a umask does not change', () => {
      const umask = process.umask(0o077);
      try {
        makeMountPoints(root, plan('/work/deep').points, join(directory, 'journal'));
      } finally {
        process.umask(umask);
      }
      const modes = ['work', 'work/deep', 'proc', 'etc/hosts'].map((path) => statSync(join(root, path)).mode & 0o777);
      expect(modes).to.deep.equal([0o755, 0o755, 0o755, 0o644]);
      expect(statSync(join(directory, 'hostname')).mode & 0o777).to.equal(0o644);
    });

    it('a journal says what was made by now, or nothing', () => {
      const journal = join(directory, 'journal');
      expect(readMountJournal(journal)).to.equal(undefined);
      makeMountPoints(root, [], journal);
      expect(readMountJournal(journal)).to.equal(undefined);
      makeMountPoints(root, [{ kind: 'file', path: '/new/file', isReal: false }], journal);
      expect(readMountJournal(journal)!.made.map(({ kind, path }) => `${kind} ${path.toString()}`)).to.deep.equal([
        'directory new',
        'file new/file',
      ]);
    });

    it('are where the paths lead inside the root', () => {
      shell('ln -s /real root/work; ln -s /run/hosts root/etc/hosts');
      const places = makeMountPoints(root, plan('/work').points, join(directory, 'journal'));
      expect([places.get('/work'), places.get('/etc/hosts')]).to.deep.equal(['/real', '/run/hosts']);
      expect(lstatSync(join(root, 'real')).isDirectory()).to.equal(true);
      expect(lstatSync(join(root, 'run/hosts')).isFile()).to.equal(true);
      expect(existsSync('/real')).to.equal(false);
    });
  });
});
