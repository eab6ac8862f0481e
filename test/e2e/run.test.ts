import { execFileSync, spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { BUSYBOX } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const APPLETS = 'sh cat id env echo ls mount mkdir rm sleep true tty stat touch mknod kill grep wc';

describe('run', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let box: string;

  before(async () => {
    workspace = await makeWorkspace('run');
    ({ directory, root } = workspace);
    // No /dev, /proc, /sys, /etc/hosts: nothing of what a runtime would need.
    const script = `mkdir -p base/bin base/etc base/srv; cp ${BUSYBOX} base/bin/busybox
      for a in ${APPLETS}; do ln -s busybox base/bin/$a; done
      printf '%s\n' root:x:0:0::/root:/bin/sh app:x:1000:100::/srv:/bin/sh >base/etc/passwd
      printf '%s\n' app:x:1000: extra:x:77:app >base/etc/group; echo x >base/etc/plain
      ln -s ${directory}/outside/resolv base/etc/resolv.conf; mkdir outside; tar -C base -cf base.tar .
      mkdir bare; cp ${BUSYBOX} bare/sh; tar -C bare -cf bare.tar sh`;
    execFileSync('sh', ['-ec', script], { cwd: directory });
    const changes = ['CMD ["sh", "-c", "echo image"]', 'ENV A=image', 'ENV B=image', 'WORKDIR /srv'];
    await imgtool(root, 'import', join(directory, 'base.tar'), 'base:1', ...changes.flatMap((c) => ['--change', c]));
    await imgtool(root, 'import', join(directory, 'bare.tar'), 'bare:1', '--change', 'ENTRYPOINT ["/sh", "-c"]');
    box = await imgtool(root, 'create', '--name', 'box', 'base:1');
  });
  after(() => workspace.remove());
  afterEach(async () => {
    const left = [...started].filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    started.clear();
    // What a failed test has left would keep the store busy, and whoever reads the output of all tests waiting.
    for (const child of left) {
      child.kill('SIGKILL');
      await ended(child);
      await imgtool(root, 'store', 'gc');
    }
    expect(readdirSync(join(directory, 'outside'))).to.deep.equal([]);
  });

  const inBox = (args: string[], input = ''): SpawnSyncReturns<string> =>
    spawnSync(IMGTOOL, ['--root', root, '--progress', 'none', 'run', ...args], { input, encoding: 'utf8' });
  /** Without what is said on machines whose control groups cannot be used. */
  const errorsOf = ({ stderr }: SpawnSyncReturns<string>): string =>
    stderr.replace(/^imgtool: cannot create a control group for the container: .*\n/m, '');
  const leftovers = (): string[] => readdirSync(join(root, 'run'));
  const started = new Set<ChildProcess>();
  const start = async (...args: string[]): Promise<ChildProcess> => {
    const child = spawn(IMGTOOL, ['--root', root, 'run', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    started.add(child);
    expect(String((await once(child.stdout, 'data'))[0])).to.equal('ready\n');
    return child;
  };
  /** Runtimes write it when the command has begun, which may have said something by then. */
  const pidOf = async (id: string): Promise<number> => {
    const file = join(root, 'run', id, 'pid');
    while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(10);
    return Number(readFileSync(file, 'utf8'));
  };
  const ended = async (child: ChildProcess): Promise<number | null> =>
    child.exitCode ?? ((await once(child, 'exit')) as [number | null])[0];

  it('makes a container of an image, runs its command, and changes nothing that diff would see', async () => {
    const result = inBox(['--name', 'made', 'base:1']);
    expect([result.stdout, errorsOf(result), result.status]).to.deep.equal(['image\n', '', 0]);
    expect(await imgtool(root, 'diff', 'made')).to.equal('');
    await imgtool(root, 'rm', 'made');
    const bare = inBox(['--name', 'bare', 'bare:1', '--', 'exit 4']);
    expect([bare.stdout, errorsOf(bare), bare.status]).to.deep.equal(['', '', 4]);
    expect(await imgtool(root, 'diff', 'bare')).to.equal('');
    expect(leftovers()).to.deep.equal([]);
  });

  it('with --rm nothing is left', async () => {
    const before = await imgtool(root, 'containers', '--quiet');
    const result = inBox(['--rm', 'base:1', '--', 'sh', '-c', 'cat; echo err >&2; exit 9'], 'from stdin');
    expect([result.stdout, errorsOf(result), result.status]).to.deep.equal(['from stdin', 'err\n', 9]);
    expect(await imgtool(root, 'containers', '--quiet')).to.equal(before);
  });

  it('what the command changes is what diff shows and commit packs', async () => {
    const script = 'echo new >/srv/new; rm /etc/plain; mkdir /etc/dir';
    expect(inBox(['box', '--', 'sh', '-c', script]).status).to.equal(0);
    expect(await imgtool(root, 'diff', 'box')).to.equal('C /etc\nA /etc/dir\nD /etc/plain\nC /srv\nA /srv/new');
    await imgtool(root, 'commit', 'box', 'changed:1');
    expect(inBox(['--rm', 'changed:1', '--', 'cat', '/srv/new']).stdout).to.equal('new\n');
  });

  it('environment, user, groups, working directory', () => {
    const script = 'echo $A $B $C $D $HOME; id -u; id -g; id -G; echo $PWD; grep CapEff /proc/self/status';
    const flags = [
      '--env',
      'A=flag',
      '-e',
      'C=c c',
      '--env',
      'IMGTOOL_NONE',
      '--user',
      'app',
      '--workdir',
      '/work/new',
    ];
    const lines = inBox([...flags, 'box', '--', 'sh', '-c', script])
      .stdout.trim()
      .split('\n');
    expect(lines).to.deep.equal([
      'flag image c c /srv',
      '1000',
      '100',
      '100 77',
      '/work/new',
      'CapEff:\t0000000000000000',
    ]);
    const unknown = inBox(['-u', 'nobody', 'box', '--', 'true']);
    expect([unknown.status, unknown.stderr]).to.deep.equal([
      2,
      'imgtool: run box true failed: there is no user nobody in the container\nhint: give a number, or a name of its /etc/passwd\n',
    ]);
  });

  it('volumes, read-only ones too, and the limits of a container', async () => {
    const [rw, ro] = ['rw', 'ro'].map((name) => join(directory, name));
    for (const path of [rw!, ro!]) mkdirSync(path);
    writeFileSync(join(ro!, 'file'), 'here\n');
    const script = `cat /mnt/ro/file; echo out >/mnt/rw/out; echo no 2>/dev/null >/mnt/ro/no || echo refused
      ls -A /sys/class/net; echo 1 2>/dev/null >/proc/sys/vm/swappiness || echo read-only
      mknod /tmp-disk b 253 0 2>/dev/null; cat /tmp-disk >/dev/null 2>&1 || echo no device; rm -f /tmp-disk; cat /etc/hostname`;
    const flags = ['--network', 'none', '-v', `${rw}:/mnt/rw`, '--volume', `${ro}:/mnt/ro:ro`];
    const { stdout } = inBox([...flags, 'box', '--', 'sh', '-c', script]);
    expect(stdout.trim().split('\n')).to.deep.equal([
      'here',
      'refused',
      'lo',
      'read-only',
      'no device',
      box.slice(0, 12),
    ]);
    expect(readFileSync(join(rw!, 'out'), 'utf8')).to.equal('out\n');
    expect(readdirSync(ro!)).to.deep.equal(['file']);
    expect(await imgtool(root, 'diff', 'box')).not.to.contain('mnt');
    const missing = inBox(['-v', `${directory}/none:/x`, 'box', '--', 'true']);
    expect([missing.status, existsSync(join(directory, 'none'))]).to.deep.equal([3, false]);
  });

  it('runc does what crun does', async () => {
    const script = `cat; echo $A; id -u; grep ^Seccomp: /proc/self/status; ls -A /sys/class/net
      mknod /disk b 253 0 2>/dev/null; cat /disk >/dev/null 2>&1 || echo no device; echo err >&2; exit 9`;
    const flags = ['--rm', '--runtime', 'runc', '--env', 'A=flag', '--network', 'none'];
    const result = inBox([...flags, 'base:1', '--', 'sh', '-c', script], 'stdin\n');
    expect(result.stdout).to.equal('stdin\nflag\n0\nSeccomp:\t2\nlo\nno device\n');
    // The line before is runc's own, where control groups cannot be used.
    expect([errorsOf(result).replace(/^runc run failed: .*\n/, ''), result.status]).to.deep.equal(['err\n', 9]);
    const missing = inBox(['--runtime', 'runc', '-v', `${directory}:/mnt`, 'base:1', '--', '/mnt/none']);
    expect(missing.status).to.equal(127);
    expect(missing.stderr).to.contain('exec: "/mnt/none": stat /mnt/none: no such file');
    const trap = 'trap "exit 33" TERM; echo ready; while :; do sleep 0.1; done';
    const child = await start('--rm', '--runtime', 'runc', 'base:1', '--', 'sh', '-c', trap);
    child.kill('SIGTERM');
    expect(await ended(child)).to.equal(33);
    expect(leftovers()).to.deep.equal([]);
  });

  it("system calls are filtered as by docker's default, unless that is not wanted", () => {
    const filter = '^Seccomp:';
    const confined = inBox(['box', '--', 'sh', '-c', `grep ${filter} /proc/self/status; busybox unshare -U true`]);
    expect(confined.stdout).to.equal('Seccomp:\t2\n');
    expect(confined.stderr).to.match(/unshare.*not permitted/);
    expect(confined.status).not.to.equal(0);
    const free = inBox(['--security-opt', 'seccomp=unconfined', 'box', '--', 'grep', filter, '/proc/self/status']);
    expect(free.stdout.trim()).to.equal(/^Seccomp:.*$/m.exec(readFileSync('/proc/self/status', 'utf8'))![0]);

    const profile = join(directory, 'profile.json');
    const rules = [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errno: 'EXDEV' }];
    writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules }));
    const own = inBox(['--security-opt', `seccomp=${profile}`, 'box', '--', 'mkdir', '/no']);
    expect(own.stderr).to.match(/mkdir: .*cross-device link/i);
    writeFileSync(profile, '{"defaultAction": "none"}');
    for (const option of [`seccomp=${profile}`, `seccomp=${directory}/none`]) {
      const refused = inBox(['--security-opt', option, 'box', '--', 'true']);
      expect([refused.status, refused.stdout], option).to.deep.equal([2, '']);
      expect(refused.stderr).to.match(
        /^imgtool: run box true failed: .*(profile|seccomp|security-opt).*\n(hint: .*\n)?$/,
      );
    }

    const [keyctl, unshare, mount, clone, bpf, getpid] =
      process.arch === 'arm64' ? [219, 97, 40, 220, 280, 172] : [250, 272, 165, 56, 321, 39];
    const clone3 = 435;
    // The first argument asks clone and unshare for a user namespace, which anybody may have otherwise.
    const perl = 'for (@ARGV) { print syscall($_ + 0, 0x10000000, 0, 0, 0, 0) < 0 ? $! + 0 : 0, " " }';
    const script = `/bin/busybox ln -s usr/lib /lib; /bin/busybox ln -s usr/lib64 /lib64; exec perl -e '${perl}' "$@"`;
    const calls = [keyctl, unshare, mount, clone, bpf, clone3, getpid].map(String);
    const result = inBox(['--rm', '-v', '/usr:/usr:ro', 'base:1', '--', '/bin/sh', '-c', script, 'sh', ...calls]);
    expect([result.stdout, errorsOf(result)]).to.deep.equal(['1 1 1 1 1 38 0 ', '']);
  });

  it('what cannot be started has the exit codes of docker, and no new container is left', async () => {
    const before = await imgtool(root, 'containers', '--quiet');
    for (const [args, status, error] of [
      [
        ['base:1', '--', 'nosuch'],
        127,
        "imgtool: run base:1 nosuch failed: there is no nosuch in the container's PATH\nhint: PATH is",
      ],
      [['base:1', '--', '/etc/passwd'], 126, '/etc/passwd is not an executable file'],
      [['-v', `${directory}:/mnt`, 'base:1', '--', '/mnt/none'], 127, '/mnt/none'],
      [['--runtime', 'no-such-runtime', 'base:1'], 7, 'hint: install crun or runc'],
      [['--name', 'other', 'box', '--', 'true'], 2, 'leave out --name'],
      [['none:1'], 3, 'none:1'],
      [['--entrypoint', '', 'base:1'], 2, 'no default command'],
    ] as const) {
      const result = inBox([...args]);
      expect(result.status, args.join(' ')).to.equal(status);
      expect(result.stderr, args.join(' '))
        .to.contain(error)
        .and.not.match(/\n\s+at /);
    }
    expect(await imgtool(root, 'containers', '--quiet')).to.equal(before);
    expect(leftovers()).to.deep.equal([]);
  });

  it('passes signals on; meanwhile the container can be looked at, and not be removed', async () => {
    const script = 'trap "echo got >/srv/got; exit 33" TERM; echo ready; while :; do sleep 0.1; done';
    const name = await imgtool(root, 'create', 'base:1');
    const child = await start(name, '--', 'sh', '-c', script);
    expect(await imgtool(root, 'diff', name)).to.equal('');
    const list = JSON.parse(await imgtool(root, 'containers', '--json')) as { id: string; running: boolean }[];
    expect(list.filter(({ running }) => running).map(({ id }) => id)).to.deep.equal([name]);
    for (const args of [
      ['run', name, '--', 'true'],
      ['rm', name],
    ]) {
      const refused = spawnSync(IMGTOOL, ['--root', root, ...args], { encoding: 'utf8' });
      expect([refused.status, refused.stderr]).to.satisfy(
        ([status, text]: [number, string]) => status === 3 && text.includes('a command runs in container'),
      );
    }
    child.kill('SIGTERM');
    expect(await ended(child)).to.equal(33);
    expect(await imgtool(root, 'diff', name)).to.equal('C /srv\nA /srv/got');
    expect(leftovers()).to.deep.equal([]);
  });

  it('the third signal kills a command that does not listen', async () => {
    const child = await start('--rm', 'base:1', '--', 'sh', '-c', 'trap "" INT; echo ready; while :; do sleep 1; done');
    while (child.exitCode === null) {
      child.kill('SIGINT');
      await sleep(100);
    }
    expect(await ended(child)).to.equal(137);
  });

  it('after kill -9 the next command ends and removes what was left', async () => {
    const pids: number[] = [];
    const before = await imgtool(root, 'containers', '--quiet');
    for (const [next, ...flags] of [
      [['run', 'box', '--', 'true'], '--rm', 'base:1'],
      [['store', 'gc'], '--rm', 'base:1'],
      [['store', 'fsck', '--repair'], '--rm', 'base:1'],
      [['run', 'box', '--', 'true'], '--runtime=runc', 'box'],
    ] as [string[], ...string[]][]) {
      const child = await start(...flags, '--', 'sh', '-c', 'echo ready; exec sleep 1000');
      const [id] = leftovers() as [string];
      pids.push(await pidOf(id));
      child.kill('SIGKILL');
      await ended(child);
      if (flags.includes('box')) expect(await imgtool(root, 'diff', 'box')).not.to.match(/ \/(dev|proc|sys)/);
      await imgtool(root, ...next);
      expect(leftovers()).to.deep.equal([]);
      await gone(pids.at(-1)!);
      expect(await imgtool(root, 'containers', '--quiet')).to.equal(before);
    }
  });

  it('without control groups no device in the files of the container works', async () => {
    // They stand for a machine whose control groups cannot be used.
    const programs = [
      ['crun', 'disabled'],
      ['runc', 'rootless'],
    ].map(([runtime, without]) => {
      const script = `#!/bin/sh\ncase "$*" in *${without}*);; *" run "*) exit 1;; esac\nexec ${runtime} "$@"\n`;
      writeFileSync(join(directory, `${runtime}-alone`), script, { mode: 0o755 });
      return join(directory, `${runtime}-alone`);
    });
    const name = await imgtool(root, 'create', 'base:1');
    await run('mknod', [join(await imgtool(root, 'mount', name), 'zero'), 'c', '1', '5']);
    const command = 'mknod /disk b 253 0; true </zero; true </dev/zero && echo ok; exit 5';
    for (const program of programs) {
      const result = inBox(['--runtime', program, name, '--', 'sh', '-c', command]);
      expect([result.stdout, result.status], program).to.deep.equal(['ok\n', 5]);
      expect(result.stderr).to.match(
        /mknod: .*not permitted[^]*zero: Permission denied[^]*cannot create a control group/,
      );
    }
    expect(leftovers()).to.deep.equal([]);
  });

  it('gives the command a terminal when it has one', async () => {
    const command = `${IMGTOOL} --root ${root} run box -- sh -c 'tty; echo $TERM'`;
    // Its input stays open: what `script` types at the end of its own would be echoed.
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const output = await text(child.stdout);
    child.stdin.end();
    expect(output).to.contain('/dev/pts/0\r\nxterm\r\n');
  });
});

/** Waits until a process has ended; what nobody waits for stays as a zombie. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return;
    } catch {
      return;
    }
    await sleep(20);
  }
}
