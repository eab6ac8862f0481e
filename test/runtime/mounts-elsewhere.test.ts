/** Containers whose files lead mounts elsewhere. A directory beside the container's files stands for the host. */
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ContainerStartError, UsageError } from '../../lib/errors.js';
import { makeMountPoints, readMountJournal, removeMountPoints } from '../../lib/runtime/mount-points.js';
import { placeMounts } from '../../lib/runtime/place-mounts.js';
import { planMounts } from '../../lib/runtime/plan-mounts.js';
import { listTree } from '../helpers/tree-listing.js';

/** `$HOST`: the directory that stands for the host; `$UP`: the same by way of `..`; the script runs in the container's files. */
interface Case {
  readonly title: string;
  readonly script: string;
  readonly volumes?: readonly string[];
  readonly cwd?: string;
  /** What the error says; undefined: everything can be mounted. */
  readonly refused?: RegExp;
}

const real = ['/dev', '/proc', '/sys'].flatMap((path): Case[] => [
  { title: `${path} is an absolute link`, script: `ln -s $HOST .${path}`, refused: /symbolic link/ },
  { title: `${path} is a link through ..`, script: `ln -s $UP .${path}`, refused: /symbolic link/ },
  { title: `${path} is a file`, script: `touch .${path}`, refused: /not a directory/ },
]);

const CASES: readonly Case[] = [
  ...real,
  { title: '/dev is a link inside the container', script: 'mkdir d; ln -s d dev', refused: /symbolic link/ },
  {
    title: 'links below /dev, /proc and /sys',
    script:
      'mkdir -p dev proc sys/fs; for l in dev/pts dev/shm dev/mqueue dev/null dev/console proc/sys sys/fs/cgroup; do ln -s $HOST $l; done',
  },
  { title: '/etc is an absolute link', script: 'rm -r etc; ln -s $HOST etc' },
  { title: '/etc is a link through ..', script: 'rm -r etc; ln -s $UP/etc etc' },
  { title: '/etc is a file', script: 'rm -r etc; touch etc', refused: /etc is not a directory/ },
  {
    title: '/etc is a link into /proc',
    script: 'rm -r etc; ln -s /proc/self/root$HOST etc',
    refused: /leads into \/proc/,
  },
  { title: '/etc is a link to itself', script: 'rm -r etc; ln -s etc etc', refused: /too many symbolic links/ },
  {
    title: '/etc/hosts and others are links',
    script: 'cd etc; ln -s $HOST/hosts hosts; ln -s $UP/resolv resolv.conf; ln -s $HOST/file hostname',
  },
  { title: '/etc/hostname is a link into /dev', script: 'ln -s /dev/null etc/hostname', refused: /leads into \/dev/ },
  { title: '/etc/hostname is a directory', script: 'mkdir etc/hostname', refused: /it is a directory/ },
  { title: '/etc/hosts is a FIFO', script: 'mkfifo etc/hosts' },
  { title: 'the working directory is a link', script: 'ln -s $HOST/new work', cwd: '/work/deep' },
  { title: 'a volume below a link', script: 'ln -s $HOST mnt', volumes: ['A:/mnt/deep'] },
  { title: 'a volume at a link', script: 'ln -s $UP mnt', volumes: ['A:/mnt'] },
  { title: 'a volume at a link to /', script: 'ln -s / mnt', volumes: ['A:/mnt'], refused: /leads to \// },
  {
    title: 'a volume at a link to /dev',
    script: 'mkdir dev; ln -s dev mnt',
    volumes: ['A:/mnt'],
    refused: /leads into \/dev/,
  },
  {
    title: 'a volume below a link into /sys',
    script: 'ln -s /sys/fs mnt',
    volumes: ['A:/mnt/cgroup'],
    refused: /leads into \/sys/,
  },
  { title: 'a volume at a file', script: 'touch mnt', volumes: ['A:/mnt'], refused: /it is not a directory/ },
  {
    title: 'a volume in a volume, behind a link there',
    script: '',
    volumes: ['LINKS:/mnt', 'A:/mnt/host/deep'],
    refused: /symbolic link in the volume/,
  },
  {
    title: 'a volume in a volume, at a link there',
    script: '',
    volumes: ['LINKS:/mnt', 'A:/mnt/up'],
    refused: /symbolic link in the volume/,
  },
  {
    title: 'volumes that meet through a link',
    script: 'ln -s mnt other',
    volumes: ['LINKS:/mnt', 'A:/other/host'],
    refused: /symbolic link in the volume/,
  },
  { title: 'a volume at /etc', script: '', volumes: ['LINKS:/etc'] },
  { title: 'a volume at /sys', script: '', volumes: ['LINKS:/sys'] },
];

describe('mounts in a container whose files lead elsewhere', () => {
  let directory: string;
  let root: string;
  let host: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-mounts-'));
    [root, host] = [join(directory, 'root'), join(directory, 'host')];
    const script = `mkdir -p root/etc host/deep a links run; for f in hosts file; do echo host >host/$f; done
      ln -s ../host links/host; ln -s $PWD/host links/up; ln -s $PWD/host/hosts links/resolv.conf`;
    execFileSync('sh', ['-ec', script], { cwd: directory });
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const volumesOf = (texts: readonly string[]): Parameters<typeof planMounts>[0]['volumes'] =>
    texts.map((text) => {
      const [name, target] = text.split(':') as [string, string];
      return { source: join(directory, name.toLowerCase()), target, readOnly: false };
    });

  for (const { title, script, volumes = [], cwd = '/', refused } of CASES)
    it(`${title}: ${refused === undefined ? 'no link is left on the way' : 'refused'}, and nothing is touched outside`, () => {
      execFileSync('sh', ['-ec', script], {
        cwd: root,
        env: { ...process.env, HOST: host, UP: `${'../'.repeat(20)}${host}` },
      });
      const all = (): unknown[] => ['root', 'host', 'a', 'links'].map((path) => [...listTree(join(directory, path))]);
      const before = all();
      const journal = join(directory, 'journal');
      const plan = planMounts(
        { network: 'host', volumes: volumesOf(volumes) },
        { directory: join(directory, 'run'), hostname: 'box', cwd },
      );
      const place = (): string[] =>
        placeMounts(plan.mounts, makeMountPoints(root, plan.points, journal)).map(({ destination }) => destination);
      if (refused !== undefined) {
        expect(place).to.throw(ContainerStartError, refused);
      } else {
        const placed = place();
        for (const path of placed) {
          // Those in another mount come after it, in what the runtime has mounted.
          if (placed.some((outer) => path.startsWith(`${outer}/`))) continue;
          const names = path.slice(1).split('/');
          for (const [index] of names.entries())
            expect(lstatSync(join(root, ...names.slice(0, index + 1))).isSymbolicLink(), path).to.equal(false);
        }
      }
      const made = readMountJournal(journal);
      if (made !== undefined) removeMountPoints(root, made);
      expect(all()).to.deep.equal(before);
    });

  it('a volume is refused at /, /dev and /proc, and twice at one place', () => {
    for (const texts of [['A:/'], ['A:/dev'], ['A:/proc/'], ['A:/x/../dev'], ['A:/x', 'LINKS:/x/']])
      expect(
        () =>
          planMounts(
            { network: 'none', volumes: volumesOf(texts) },
            { directory: join(directory, 'run'), hostname: 'box', cwd: '/' },
          ),
        texts.join(),
      ).to.throw(UsageError, /cannot mount a volume|two volumes have/);
  });
});
