/** Containers whose files lead the mounts of a run elsewhere. A directory beside the store stands for the host. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { BUSYBOX } from '../helpers/small-image.js';
import { listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const WAYS = [
  {
    title: 'links below /dev, /proc and /sys; /etc, the working directory and a volume behind links',
    script: `mkdir -p dev proc sys/fs; rm -r etc; ln -s $HOST mnt; ln -s $UP etc; ln -s $HOST/new work
      for l in dev/pts dev/shm dev/mqueue dev/null dev/console proc/sys sys/fs/cgroup; do ln -s $HOST $l; done`,
    flags: ['-w', '/work/deep', '-v', 'A:/mnt/deep'],
  },
  {
    title: '/etc/hosts and others are links, a FIFO; volumes at links',
    script: `cd etc; ln -s $UP/hosts hosts; mkfifo resolv.conf; ln -s $HOST/file hostname
      cd ..; ln -s $UP/deep one; ln -s $HOST/new two`,
    flags: ['-v', 'A:/one', '-v', 'LINKS:/two/more'],
  },
  { title: 'volumes at /etc and /sys', script: 'rm -r etc', flags: ['-v', 'LINKS:/etc', '-v', 'A:/sys'] },
  { title: '/etc/passwd is a FIFO', script: 'rm etc/passwd; mkfifo etc/passwd', status: 125 },
  { title: '/dev is an absolute link', script: 'ln -s $HOST dev', status: 125 },
  { title: '/dev is a link through ..', script: 'ln -s $UP dev', status: 125 },
  {
    title: 'the working directory leads to a descriptor (CVE-2024-21626)',
    script: 'ln -s /proc/self/fd/7 work',
    flags: ['-w', '/work'],
    status: 125,
  },
];

describe('mounts of a run', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;

  before(async () => {
    workspace = await makeWorkspace('run-mounts');
    ({ directory, root } = workspace);
    const script = `mkdir -p base/bin base/etc host/deep a links; cp ${BUSYBOX} base/bin/busybox
      ln -s busybox base/bin/ls; echo root:x:0:0::/:/bin/sh >base/etc/passwd; tar -C base -cf base.tar .
      for f in hosts file null tty ptmx; do echo host >host/$f; done; cp -r host/* links
      ln -s ../host links/host; ln -s $PWD/host links/up; ln -s $PWD/host/hosts links/resolv.conf`;
    execFileSync('sh', ['-ec', script], { cwd: directory });
    await imgtool(root, 'import', join(directory, 'base.tar'), 'base:1');
  });
  after(() => workspace.remove());

  for (const runtime of ['crun', 'runc'])
    for (const { title, script, flags = [], status = 0 } of WAYS)
      it(`${runtime}: ${title}: ${status === 0 ? 'runs' : 'refused'}, and nothing is touched outside`, async () => {
        const name = await imgtool(root, 'create', 'base:1');
        const [files, host] = [join(root, 'containers', name, 'rootfs'), join(directory, 'host')];
        const env = { ...process.env, HOST: host, UP: `${'../'.repeat(20)}${host}` };
        execFileSync('sh', ['-ec', script], { cwd: files, env });
        const all = (): unknown[] =>
          [files, ...['host', 'a', 'links'].map((path) => join(directory, path))].map((path) => [...listTree(path)]);
        const before = all();
        const volumes = flags.map((flag) =>
          flag.replace(/^(A|LINKS):/, (_, of: string) => `${join(directory, of.toLowerCase())}:`),
        );
        const args = ['run', '--runtime', runtime, ...volumes, name, '--', '/bin/busybox', 'ls', '/'];
        const result = spawnSync(IMGTOOL, ['--root', root, ...args], { encoding: 'utf8' });
        expect(result.status, result.stderr).to.equal(status);
        expect(all()).to.deep.equal(before);
        expect(readdirSync(join(root, 'run'))).to.deep.equal([]);
      });
});
