/** What a command may do to its container, to the store and to the terminal it was given. */
import { execFileSync, spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { startDockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { randomSource } from '../helpers/random-source.js';
import { BUSYBOX } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const APPLETS = 'sh cat echo ls sleep stty true';

describe('run: safety', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;

  before(async () => {
    workspace = await makeWorkspace('run-safety');
    ({ directory, root } = workspace);
    const script = `mkdir -p base/bin base/etc; cp ${BUSYBOX} base/bin/busybox
      for a in ${APPLETS}; do ln -s busybox base/bin/$a; done
      ln -s usr/lib base/lib; ln -s usr/lib64 base/lib64
      echo root:x:0:0::/:/bin/sh >base/etc/passwd; echo app:x:7:7::/:/bin/sh >>base/etc/passwd; tar -C base -cf base.tar .`;
    execFileSync('sh', ['-ec', script], { cwd: directory });
    await imgtool(root, 'import', join(directory, 'base.tar'), 'base:1', '--change', 'CMD true');
  });
  after(() => workspace.remove());

  const inBox = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(IMGTOOL, ['--root', root, '--progress', 'none', 'run', ...args], { input: '', encoding: 'utf8' });

  it('--rm is refused for a container that existed before, which stays', async () => {
    const name = await imgtool(root, 'create', '--name', 'kept', 'base:1');
    for (const args of [
      ['kept', '--', 'true'],
      ['-v', `${directory}/none:/mnt`, 'kept'],
      ['-u', 'nobody', 'kept'],
      ['--runtime', 'no-such-runtime', 'kept'],
      [name.slice(0, 12), '--', 'nosuchprogram'],
    ]) {
      const { status, stderr } = inBox('--rm', ...args);
      expect([status, stderr], args.join(' ')).to.satisfy(
        ([code, error]: [number, string]) => code === 2 && error.includes('--rm removes only what this run makes'),
      );
      // Without it, a command that cannot be started removes nothing either.
      inBox(...args);
    }
    expect(await imgtool(root, 'containers', '--quiet')).to.contain(name);
    expect(inBox('--rm', 'base:1').status).to.equal(0);
    expect(await imgtool(root, 'containers', '--quiet')).to.equal(name);
  });

  it('an image that is missing is pulled first, unless --pull never says not to', async () => {
    const registry = await startDockerRegistry();
    const name = `${registry.host}/base:1`;
    try {
      for (const args of [
        ['tag', 'base:1', name],
        ['push', name],
        ['untag', name],
      ])
        await imgtool(root, ...args);
      const never = inBox('--rm', '--pull', 'never', name, 'true');
      expect([never.status, never.stderr]).to.satisfy(
        ([code, error]: [number, string]) => code === 3 && /hint:/.test(error),
      );
      expect(inBox('--rm', name, 'echo', '-n', 'hi').stdout).to.equal('hi');
      // What is here is not asked for again, unless that is wanted.
      await registry.stop();
      expect(inBox('--rm', name, 'true').status).to.equal(0);
      expect(inBox('--rm', '--pull', 'always', '--retry', '0', name, 'true').status).not.to.equal(0);
    } finally {
      await registry.stop();
    }
  });

  /** Perl of this machine, by which a command makes any system call. */
  const perl = (script: string, ...flags: string[]): string[] => [
    ...flags,
    '-v',
    '/usr:/usr:ro',
    '--entrypoint',
    '/usr/bin/perl',
    'base:1',
    '--',
    '-e',
    script,
  ];
  const numbers = process.arch === 'arm64' ? { ioctl: 29, socket: 198 } : { ioctl: 16, socket: 41 };

  for (const runtime of ['crun', 'runc'])
    it(`${runtime}: no request of btrfs changes flags, snapshots or subvolumes, and no socket is AF_ALG (CVE-2026-31431)`, () => {
      const requests = {
        refused: [0x4008941a, 0x14008941a, 0x50009401, 0x5000940e, 0x5000940f, 0x50009417, 0x50009418, 0x5000943f],
        // FS_INFO, GETFLAGS, and one of another kind: FS_IOC_GETFLAGS.
        allowed: [0x8400941f, 0x80089419, 0x80086601],
      };
      const families = { refused: [38, 40, 2 ** 32 + 38, 2 ** 32 + 40], allowed: [1, 2, 10, 16] };
      const script = `open(my $root, "<", "/"); my $data = "\\0" x 8192;
        sub say_ { print $_[0] < 0 ? $! + 0 : 0, " " }
        say_(syscall(${numbers.ioctl}, fileno($root), $_, $data)) for (${[...requests.refused, ...requests.allowed].join(',')});
        say_(syscall(${numbers.socket}, $_, $_ == 16 ? 3 : 1, 0)) for (${[...families.refused, ...families.allowed].join(',')});`;
      const { stdout } = inBox(...perl(script, '--rm', '--runtime', runtime));
      expect(stdout).to.equal(`${'1 '.repeat(8)}${'0 '.repeat(3)}${'1 '.repeat(4)}${'0 '.repeat(4)}`);
    });

  it('a command that makes its files read-only keeps its exit code, and stops no other container', async () => {
    const script = `open(my $root, "<", "/"); my $flags = pack("Q", 2); ioctl($root, 0x4008941a, $flags) or die; exit 7`;
    const result = inBox(...perl(script, '--name', 'frozen', '--security-opt', 'seccomp=unconfined'));
    expect(result.status, result.stderr).to.equal(7);
    for (const args of [
      ['import', join(directory, 'base.tar'), 'base:2'],
      ['store', 'gc'],
    ])
      await imgtool(root, ...args);
    expect(inBox('--rm', 'base:1').status).to.equal(0);
    await imgtool(root, 'rm', 'frozen');
    await imgtool(root, 'store', 'gc');
    expect(readdirSync(join(root, 'run'))).to.deep.equal([]);
  });

  for (const runtime of ['crun', 'runc'])
    it(`${runtime}: the command's terminal has the size of this one, and follows it`, async () => {
      const flags = mkdirIn('flags', runtime);
      const script = 'stty size; trap "stty size; exit 5" WINCH; echo >/flags/ready; while :; do sleep 0.1; done';
      const outside = `stty rows 33 cols 77
        { while [ ! -e ${flags}/ready ]; do sleep 0.02; done; stty rows 44 cols 99 </dev/tty; } &
        ${IMGTOOL} --root ${root} run --rm --runtime ${runtime} -v ${flags}:/flags base:1 -- sh -c '${script}'`;
      // Its input stays open: what `script` types at the end of its own would be echoed.
      const child = spawn('script', ['-qec', outside, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
      const output = await text(child.stdout);
      child.stdin.end();
      expect(output).to.equal('33 77\r\n44 99\r\n');
      expect(child.exitCode ?? (await once(child, 'exit'))[0]).to.equal(5);
    });

  it('a runtime that waits for a FIFO while it starts ends when it is interrupted, and leaves no process', async () => {
    const etc = mkdirIn('etc');
    execFileSync('mkfifo', [join(etc, 'passwd')]);
    const args = ['--root', root, 'run', '--rm', '--runtime', 'runc', '-v', `${etc}:/etc`, 'base:1'];
    const child = spawn(IMGTOOL, args, { stdio: 'ignore' });
    const runs = join(root, 'run');
    const state = (): string => join(runs, readdirSync(runs)[0] ?? 'none', 'state');
    while (!existsSync(state()) || readdirSync(state()).length === 0) await sleep(20);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).to.equal(9);
    expect(readdirSync(join(root, 'run'))).to.deep.equal([]);
  });
  const mkdirIn = (...names: string[]): string => {
    const path = join(directory, ...names);
    mkdirSync(path, { recursive: true });
    return path;
  };

  it('killed at any moment while it starts, the next command finds what is left: no process, no control group', async () => {
    expect(inBox('--rm', 'base:1').status).to.equal(0);
    const { seed, below } = randomSource();
    const kills = Number(process.env.IMGTOOL_TEST_KILLS ?? 8);
    for (let kill = 0; kill < kills; kill += 1) {
      const args = ['--rm', '--runtime', kill % 2 === 0 ? 'crun' : 'runc', 'base:1', 'sleep', '1000'];
      const child = spawn(IMGTOOL, ['--root', root, '--progress', 'none', 'run', ...args], { stdio: 'ignore' });
      await sleep(100 + below(250));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const ids = readdirSync(join(root, 'run'));
      await imgtool(root, 'store', 'gc');
      const left = [readdirSync(join(root, 'run')), ...ids.map(processesAndGroups)].flat();
      expect(left, `seed ${seed}, kill ${kill}`).to.deep.equal([]);
    }
  });

  it('a command that cannot be run on this machine ends with 126 or 127 and says why', async () => {
    const name = await imgtool(root, 'create', '--name', 'odd', 'base:1');
    const bin = join(await imgtool(root, 'mount', name), 'bin');
    const script = `cp busybox foreign; printf '\\366\\377' | dd of=foreign bs=1 seek=18 conv=notrunc 2>/dev/null
      printf 'echo hi' >text; : >empty; printf '#!/no/such\\n' >lost; printf '#!/bin/foreign\\n' >far
      cp busybox private; cp /bin/true dynamic; chmod 755 *; chmod 700 private`;
    execFileSync('sh', ['-ec', script], { cwd: bin });
    for (const [args, status, error] of [
      [['--', ''], 127, /the name of the program is empty/],
      [['--', 'foreign'], 126, /a program for ELF machine 65526/],
      [['--', 'far'], 126, /foreign, which far names/],
      [['--', 'text'], 126, /neither a binary nor a script that starts with #!/],
      [['--', 'empty'], 126, /neither a binary nor a script that starts with #!/],
      [['--', 'lost'], 127, /lost needs \/no\/such/],
      [['--', 'dynamic'], 127, /dynamic needs .*ld-linux/],
      [['--', 'private'], 126, /cannot be executed by this user/],
    ] as const) {
      for (const flags of status === 126 ? [[]] : [['-v', `${directory}:/mnt`]]) {
        const result = inBox('-u', 'app', ...flags, 'odd', ...args);
        expect(result.status, result.stderr).to.equal(status);
        expect(result.stderr)
          .to.match(error)
          .and.match(/^imgtool: run odd /);
      }
    }
  });

  it('in a chroot that is not a mount point, the error says why nothing can be started', () => {
    const inner = mkdirIn('chroot');
    // Of the files that variables may name, none is in there.
    const env = { PATH: process.env.PATH };
    const places = ['usr', directory.slice(1), process.cwd().slice(1), realpathSync('node_modules').slice(1)].join(' ');
    const script = `cd ${inner}; mkdir -p proc ${places}
      for d in bin lib lib64 sbin; do ln -s usr/$d $d; done
      mount --bind /proc proc; for d in ${places}; do mount --rbind /$d $d; done
      exec chroot . ${process.execPath} ${IMGTOOL} --root ${root} run --rm base:1`;
    const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-ec', script], { encoding: 'utf8', env });
    expect([status, stderr]).to.deep.equal([
      125,
      'imgtool: run base:1 failed: cannot start containers: the root directory is a chroot and not a mount point\n' +
        'hint: bind-mount the directory onto itself before chroot: mount --bind DIR DIR\n',
    ]);
  });
});

/** What there is of the container `id` on this machine. */
function processesAndGroups(id: string): string[] {
  const group = `/imgtool-${id}`;
  const processes = readdirSync('/proc').filter((name) => {
    try {
      return (
        /^\d+$/.test(name) &&
        readFileSync(`/proc/${name}/cgroup`, 'utf8').includes(group) &&
        existsSync(`/proc/${name}/exe`)
      );
    } catch {
      return false;
    }
  });
  const parents = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))];
  return [...processes, ...parents.map((parent) => parent + group).filter((path) => existsSync(path))];
}
