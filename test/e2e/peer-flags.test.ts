/** The flags of podman, docker and skopeo, typed as their manuals show them: what they print and write is compared. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { commandLine, type CommandOutcome } from '../helpers/command-line.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { BUSYBOX, smallImage } from '../helpers/small-image.js';

const SALT = '$2y$04$abcdefghijklmnopqrstuu';
/** Password `pw-a`, by crypt(3). */
const HTPASSWD = `a:${SALT}vJuuus.tr91atCw1Xf6voqrjQ.RDx3G\n`;

describe('flags of peers', () => {
  let directory: string;
  let registry: DockerRegistry;
  let podman: Podman;
  let image: string;
  const at = (name: string): string => join(directory, name);

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-peers-'));
    [registry, podman] = await Promise.all([startDockerRegistry(), makePodman()]);
    image = `${registry.host}/some/small:1`;
    const small = smallImage(readFileSync(BUSYBOX));
    const other = {
      ...small,
      tag: 'multi',
      layers: small.layers.slice(1),
      platform: { os: 'linux', architecture: 'riscv64' },
    };
    await writeOciLayout(at('layout'), [small, { ...small, tag: 'multi' }, other]);
    await skopeoCopy(`oci:${at('layout')}:1`, `docker://${image}`);
    await skopeoCopy(`oci:${at('layout')}:multi`, `docker://${registry.host}/some/multi:2`, '--all');
    for (const tag of ['1.9', '1.10', 'latest', '1.2'])
      await skopeoCopy(`docker://${image}`, `docker://${registry.host}/some/tags:${tag}`);
    await podman.pull(image);
    await ours('pull', image);
    await ours('create', '--name', 'box', image);
    await podman.podman('create', '--name', 'box', image);
  });
  after(async () => {
    await podman.podman('rm', '--all', '--force');
    await podman.remove();
    await run('umount', [at('root')]).catch(() => undefined);
    await registry.stop();
    await run('rm', ['-rf', directory]);
  });

  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    HOME: at('home'),
    XDG_CONFIG_HOME: at('home'),
    IMGTOOL_RETRY: '0',
  });
  const common = (): string[] => ['--root', at('root'), '--progress', 'none'];

  const imgtool = (...args: string[]): Promise<CommandOutcome> =>
    args[0] === 'run' ? running(...args) : commandLine([...common(), ...args], { env: env() });

  /** As a process of its own: what the container writes goes to the streams of the program. */
  async function running(...args: string[]): Promise<CommandOutcome> {
    const child = spawn(IMGTOOL, [...common(), ...args], { env: env(), stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'close') as Promise<[number]>;
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: (await ended)[0], stdout, stderr };
  }

  /** What imgtool prints; it must not fail. */
  async function ours(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await imgtool(...args);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  }

  const theirs = (...args: string[]): Promise<string> => podman.podman(...args);
  const skopeo = (...args: string[]): Promise<string> => run('skopeo', ['--insecure-policy', ...args]);

  describe('print what podman prints', () => {
    const commands: readonly (readonly string[])[] = [
      ['images', '-q', '--no-trunc'],
      ['images', '--quiet', '--no-trunc', '--filter', 'reference=*/some/small'],
      ['images', '-aq', '--no-trunc'],
      ['images', '-qf', 'reference=nosuch'],
      ['images', '-q', '--filter', 'dangling=true'],
      ['images', '-q', '--no-trunc', '--filter', 'label=purpose=test'],
      ['images', '-q', '--no-trunc', '--filter', 'label=purpose=other'],
      ['images', '-q', '--no-trunc', '--filter', 'until=2024-01-01'],
      ['images', '-a', '--format', '{{.ID}} {{.Repository}}:{{.Tag}} {{.Digest}}'],
      ['images', '--format', '{{.CreatedAt}} {{.CreatedSince}}'],
      ['images', '--format', '{{range .Names}}<{{.}}>{{end}} {{json .Names}} {{len .Names}}'],
      ['images', '--format', '{{range .}}{{.Repository}}{{end}}'],
      ['images', '--no-trunc', '--sort', 'size', '--format', '{{.ID}}'],
      ['images', '--noheading', '--format', 'table {{.Repository}}'],
      ['images', '--format', 'table {{.Repository}}\t{{.Tag}}'],
      ['history', '--format', '{{.CreatedBy}}|{{.Comment}}', '--no-trunc', 'IMAGE'],
      ['history', '-q', 'IMAGE'],
      ['history', '--human=false', '--format', '{{.ID}}', 'IMAGE'],
      ['inspect', '--format', '{{.Id}} {{.Digest}} {{.RepoTags}}', 'IMAGE'],
      ['inspect', '-f', '{{.Os}}/{{.Architecture}} {{.Config.Env}} {{.Config.Cmd}} {{json .Config.Cmd}}', 'IMAGE'],
      ['inspect', '-t', 'image', '-f', '{{.RootFS.Type}} {{.RootFS.Layers}} {{len .RootFS.Layers}}', 'IMAGE'],
      ['inspect', '-f', '{{index .RootFS.Layers 0}} {{json .Labels}} {{.Labels.purpose}}', 'IMAGE'],
      [
        'inspect',
        '-f',
        '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}{{if .Author}}by{{else}}-{{end}}',
        'IMAGE',
      ],
      ['inspect', '-f', '{{.Name}} {{.State.Running}} {{.ImageName}} {{.Config.Env | len | lt 0}}', 'box'],
      ['ps', '-a', '--format', '{{.Names}} {{.Image}}'],
      ['ps', '-a', '-s', '--noheading', '--format', 'table {{.Names}}'],
      ['ps', '-q', '--filter', 'status=running'],
      ['ps', '-a', '--filter', 'name=bo', '--format', '{{.Names}} {{.Command}}'],
      ['ps', '-a', '--filter', 'name=^x', '--format', '{{.Names}}'],
      ['ps', '-a', '--filter', 'ancestor=IMAGE', '--format', '{{.Names}}'],
      ['ps', '-a', '--last', '1', '--format', '{{.Names}}'],
    ];
    for (const command of commands)
      it(command.join(' '), async () => {
        const args = command.map((word) => word.replace('IMAGE', image));
        expect(lines(await ours(...args))).to.deep.equal(lines(await theirs(...args)));
      });

    it('rm -f, rm -i and rmi -i of what does not exist', async () => {
      for (const args of [
        ['rm', '-f', 'nosuch'],
        ['rm', '--ignore', 'nosuch'],
        ['rmi', '--ignore', 'nosuch'],
      ]) {
        expect((await imgtool(...args)).code, args.join(' ')).to.equal(0);
        await theirs(...args).catch((error: Error) => expect(error.message).to.include('nosuch'));
      }
      expect((await imgtool('rm', 'nosuch')).code).to.equal(3);
      expect((await imgtool('rm')).stderr).to.include('--all');
    });
  });

  describe('print what skopeo prints', () => {
    for (const template of [
      '{{.Digest}} {{.Name}} {{.Architecture}} {{.Os}}',
      '{{.Layers}} {{index .Layers 0}} {{len .Layers}}',
      '{{.Env}} {{.Labels}} {{.RepoTags}}',
      '{{range $i, $l := .Layers}}{{$i}} {{$l}};{{end}}{{if .DockerVersion}}docker{{else}}oci{{end}}',
    ])
      it(`inspect --format '${template}'`, async () => {
        const args = ['inspect', '--tls-verify=false', '--format', template, `docker://${image}`];
        expect(lines(await ours(...args))).to.deep.equal(lines(await skopeo(...args)));
      });

    it('a wrong template is a usage error that names the place', async () => {
      const { code, stderr } = await imgtool('images', '--format', '{{.Nmae}}');
      expect(code).to.equal(2);
      expect(stderr).to.match(/column 3: there is no field \.Nmae\nhint: did you mean \.Names\?/);
    });
  });

  describe('run as docker does', () => {
    const inBox = (flags: readonly string[], script: string): Promise<CommandOutcome> =>
      imgtool('run', '--rm', ...flags, image, 'sh', '-c', script);

    it('--env-file: lines of variables, --env over them', async () => {
      writeFileSync(at('env'), '# comment\nA=file\nB=two words\nHOME\n');
      expect((await inBox(['--env-file', at('env'), '-e', 'A=flag'], 'echo "$A|$B"')).stdout).to.equal(
        'flag|two words\n',
      );
    });

    it('--hostname, --add-host', async () => {
      const { stdout } = await inBox(
        ['--hostname', 'web', '--add-host', 'db:10.1.2.3'],
        'cat /proc/sys/kernel/hostname /etc/hosts',
      );
      expect(stdout)
        .to.match(/^web\n/)
        .and.to.match(/^10\.1\.2\.3\s+db$/m);
    });

    it('--read-only with --tmpfs and --mount', async () => {
      mkdirSync(at('data'));
      const mount = ['--mount', `type=bind,src=${at('data')},dst=/data,readonly`, '--mount', 'type=tmpfs,dst=/w'];
      const script = 'for f in /x /data/x /tmp/x /w/x; do touch $f 2>/dev/null && echo $f; done; :';
      expect((await inBox(['--read-only', '--tmpfs', '/tmp:size=1m', ...mount], script)).stdout).to.equal(
        '/tmp/x\n/w/x\n',
      );
      const { code, stderr } = await imgtool('run', '--mount', 'type=volume,src=a,dst=/b', image);
      expect([code, stderr]).to.deep.equal([2, stderr]);
      expect(stderr).to.include('there are no named volumes');
    });

    it('--cap-drop, --cap-add and --privileged', async () => {
      const status = async (...flags: string[]): Promise<string> => {
        const found = (await inBox(flags, 'cat /proc/self/status')).stdout;
        return `${/CapEff:\s*(\w+)/.exec(found)?.[1]} ${/Seccomp:\s*(\d)/.exec(found)?.[1]}`;
      };
      expect(await status('--cap-drop', 'ALL')).to.match(/^0{16} /);
      expect(await status('--cap-drop=all', '--cap-add=CHOWN,kill')).to.match(/^0{14}21 /);
      expect(await status('--privileged')).to.match(/^0000\w*f\w* 0$/);
      expect((await inBox(['--cap-add', 'CHWON'], ':')).stderr).to.include('did you mean CAP_CHOWN?');
    });

    it('--ulimit, --memory, --pids-limit', async function () {
      const limits = (await inBox(['--ulimit', 'nofile=100:200'], 'cat /proc/self/limits')).stdout;
      expect(limits).to.match(/^Max open files\s+100\s+200\s/m);
      const { code, stdout, stderr } = await inBox(
        ['--memory', '64m', '--pids-limit', '5', '--cpus', '0.5'],
        'cat /proc/self/cgroup',
      );
      // Never without the limits that were asked for.
      if (code === 125) return expect(stderr).to.include('cannot limit the resources');
      return expect(stdout).to.include('imgtool-');
    });

    it('--entrypoint with a JSON list, --init', async () => {
      expect((await imgtool('run', '--rm', '--entrypoint', '["sh","-c"]', image, 'echo hi')).stdout).to.equal('hi\n');
      const { code, stdout } = await inBox(['--init'], 'cat /proc/1/cmdline; exit 3');
      expect(code).to.equal(3);
      expect(stdout).to.match(/^\/dev\/init\0/);
    });

    it('--platform and --pull never of an image for another machine', async () => {
      const { code, stderr } = await imgtool('create', '--platform', 'linux/riscv64', '--pull', 'never', image);
      expect(code).to.equal(3);
      expect(stderr).to.include('not for linux/riscv64').and.include('imgtool pull --platform');
    });

    for (const [flags, hint] of [
      [['run', '-P'], '--network host'],
      [['run', '--restart', 'always'], 'service manager'],
      [['create', '-e', 'A=1'], 'imgtool run CONTAINER'],
      [['create', '--publish', '80:80'], 'network of this machine'],
    ] as const)
      it(`${flags.join(' ')} is refused with what to do instead`, async () => {
        const { code, stderr } = await imgtool(...flags, image);
        expect(code).to.equal(2);
        expect(stderr.split('\n')[1])
          .to.match(/^hint: /)
          .and.include(hint);
      });

    it('rm -f ends a command that runs', async () => {
      await ours('create', '--name', 'busy', image);
      const child = spawn(IMGTOOL, ['--root', at('root'), 'run', 'busy', 'sh', '-c', 'echo up; sleep 100'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
      await new Promise((resolve) => child.stdout.once('data', resolve));
      expect((await imgtool('rm', 'busy')).code).to.equal(3);
      expect(await ours('ps', '-q', '--filter', 'status=running', '--filter', 'name=busy')).to.not.equal('');
      await ours('rm', '-f', 'busy');
      expect(await ended).to.equal(137);
      expect(await ours('ps', '-aq', '--filter', 'name=busy')).to.equal('');
    });
  });

  describe('pull, push, commit, config, tags, diff', () => {
    it('pull --arch and several references; push --all-tags, --compression-format', async () => {
      const multi = `${registry.host}/some/multi:2`;
      const [first, second] = lines(await ours('pull', '-q', '--arch', 'riscv64', multi, multi));
      expect(first).to.equal(second);
      expect(await ours('inspect', '-f', '{{.Architecture}}', multi)).to.equal('riscv64\n');
      expect((await imgtool('pull', '--arch', 'arm64', '--platform', 'linux/amd64', multi)).code).to.equal(2);
      for (const tag of ['a', 'b']) await ours('tag', image, `${registry.host}/pushed/app:${tag}`);
      expect(
        lines(
          await ours(
            'push',
            '--all-tags',
            '--compression-format',
            'zstd',
            '--format',
            'oci',
            `${registry.host}/pushed/app`,
          ),
        ),
      ).to.have.length(2);
      expect(
        await ours('inspect', '-f', '{{(index .LayersData 0).MIMEType}}', `docker://${registry.host}/pushed/app:b`),
      ).to.include('zstd');
    });

    it('commit --iidfile --format docker; config --env, --unset-env, --unset-label', async () => {
      await ours('run', 'box', 'touch', '/new');
      const id = await ours(
        'commit',
        '-q',
        '--iidfile',
        at('iid'),
        '--format',
        'docker',
        '--pause',
        'box',
        'local/made:1',
      );
      expect(readFileSync(at('iid'), 'utf8')).to.equal(id.trim());
      expect(await ours('inspect', '-f', '{{.ManifestType}}', 'local/made:1')).to.include(
        'docker.distribution.manifest.v2',
      );
      await ours(
        'mutate',
        'local/made:1',
        '--env',
        'X=a $b "c"',
        '-l',
        'k=v',
        '--unset-env',
        'PATH',
        '--unset-label',
        'purpose',
        '-t',
        'local/made:2',
      );
      expect(await ours('inspect', '-f', '{{json .Config.Env}} {{json .Labels}}', 'local/made:2')).to.equal(
        '["X=a $b \\"c\\""] {"k":"v"}\n',
      );
      expect(lines(await ours('diff', 'box', '--path', '/ne*'))).to.deep.equal(['A /new']);
      expect(await ours('diff', 'box', '--path', '/etc')).to.equal('');
    });

    it('tags --sort version --limit', async () => {
      const name = `${registry.host}/some/tags`;
      expect(lines(await ours('tags', '--sort', 'version', name))).to.deep.equal(['1.10', '1.9', '1.2', 'latest']);
      expect(lines(await ours('tags', '--sort', 'version', '--limit', '2', name))).to.deep.equal(['1.10', '1.9']);
    });
  });

  describe('dir: as skopeo has it', () => {
    const same = (one: string, other: string): Promise<string> => run('diff', ['-r', at(one), at(other)]);

    for (const [name, flags] of [
      ['one', []],
      ['all', ['--multi-arch', 'all']],
      ['system', ['--multi-arch', 'system']],
    ] as const)
      it(`copy ${flags.join(' ')} writes the same files, and each reads the other's`, async () => {
        const source = `docker://${registry.host}/some/${name === 'one' ? 'small:1' : 'multi:2'}`;
        const insecure = '--src-tls-verify=false';
        await skopeo(
          'copy',
          '-q',
          insecure,
          ...flags,
          '--digestfile',
          at(`${name}.theirs`),
          source,
          `dir:${at(`${name}-theirs`)}`,
        );
        await ours('copy', ...flags, '--digestfile', at(`${name}.ours`), source, `dir:${at(`${name}-ours`)}`);
        await same(`${name}-ours`, `${name}-theirs`);
        expect(readFileSync(at(`${name}.ours`), 'utf8')).to.equal(readFileSync(at(`${name}.theirs`), 'utf8'));
        await skopeo('copy', '-q', ...flags, `dir:${at(`${name}-ours`)}`, `dir:${at(`${name}-again`)}`);
        await ours('copy', ...flags, `dir:${at(`${name}-theirs`)}`, `dir:${at(`${name}-back`)}`);
        await same(`${name}-again`, `${name}-back`);
      });

    it('load reads one, save writes one; a full directory is refused', async () => {
      const [loaded] = lines(await ours('load', at('one-theirs'), '-q'));
      expect(loaded).to.equal(lines(await ours('images', '-q', '--filter', `id=${loaded}`))[0]);
      await ours('save', '--format', 'docker-dir', '-o', at('saved'), image);
      await same('saved', 'one-theirs');
      expect((await imgtool('copy', `dir:${at('one-theirs')}`, `dir:${at('layout')}`)).stderr).to.include(
        'contains other files',
      );
    });

    it('another image takes the place of the one before; a damaged blob is found', async () => {
      await ours('copy', '--multi-arch', 'all', `dir:${at('all-theirs')}`, `dir:${at('one-ours')}`);
      await same('one-ours', 'all-theirs');
      const [blob] = lines(await run('sh', ['-c', `ls ${at('one-again')} | grep -E '^[0-9a-f]{64}$'`]));
      const bytes = readFileSync(join(at('one-again'), blob!));
      bytes[0]! ^= 1;
      writeFileSync(join(at('one-again'), blob!), bytes);
      expect((await imgtool('copy', `dir:${at('one-again')}`, `oci:${at('damaged')}:1`)).code).to.equal(6);
    });

    it('sync --src docker --dest dir, and back, as skopeo sync', async () => {
      const source = `${registry.host}/some/tags`;
      const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      const flags = (...more: string[]): string[] => ['sync', ...more];
      await skopeo(...flags('--src', 'docker', '--dest', 'dir'), ...insecure, source, at('sync-theirs'));
      await ours(...flags('--src', 'docker', '--dest', 'dir'), source, at('sync-ours'));
      await same('sync-ours', 'sync-theirs');
      await ours(...flags('-s', 'dir', '-d', 'docker'), at('sync-theirs'), `${registry.host}/back`);
      expect(lines(await ours('tags', '--sort', 'name', `${registry.host}/back/tags`))).to.deep.equal([
        '1.10',
        '1.2',
        '1.9',
        'latest',
      ]);
      await ours(...flags('--src', 'docker', '--dest', 'docker'), source, `${registry.host}/mirror`);
      expect(await ours('digest', `${registry.host}/mirror/tags:1.9`)).to.equal(await ours('digest', `${source}:1.9`));
      await ours(...flags('--src', 'docker', '--dest', 'dir', '--scoped', '--dry-run'), source, at('scoped'));
      expect(existsSync(at('scoped'))).to.equal(false);
    });
  });

  describe('copy between registries', () => {
    it('--multi-arch index-only copies the index where the images are; --dry-run changes nothing', async () => {
      const [source, target] = [`${registry.host}/some/multi:2`, `${registry.host}/some/multi:only`];
      const digest = await ours('digest', source);
      const plan = JSON.parse(
        await ours('copy', '--dry-run', '--all', '--json', source, `${registry.host}/new/multi:1`),
      ) as object;
      expect(plan).to.deep.include({ digest: digest.trim() });
      expect((await imgtool('digest', `${registry.host}/new/multi:1`)).code).to.equal(3);
      expect(await ours('copy', '--multi-arch', 'index-only', source, target)).to.equal(digest);
      expect(await ours('digest', target)).to.equal(digest);
      expect((await imgtool('copy', '--multi-arch', 'index-only', source, `dir:${at('x')}`)).code).to.equal(2);
    });

    it('logins of one side: user and password, a token, none; login -p warns; logout --all', async () => {
      writeFileSync(at('htpasswd'), HTPASSWD);
      const closed = await startDockerRegistry({
        config: { auth: { htpasswd: { realm: 'test', path: at('htpasswd') } } },
      });
      try {
        const target = `${closed.host}/app:1`;
        await ours('copy', '--dest-username', 'a', '--dest-password', 'pw-a', image, target);
        expect((await imgtool('copy', '--src-no-creds', target, `dir:${at('closed')}`)).code).to.equal(4);
        expect((await imgtool('copy', '--src-registry-token', 'abc', target, `dir:${at('closed')}`)).code).to.equal(4);
        expect(
          (await imgtool('copy', '--src-creds', 'a:pw-a', '--src-no-creds', target, `dir:${at('closed')}`)).code,
        ).to.equal(2);
        const { code, stderr } = await imgtool('login', '-u', 'a', '-p', 'pw-a', closed.host);
        expect([code, stderr.includes('--password-stdin')]).to.deep.equal([0, true]);
        await ours('copy', target, `dir:${at('closed')}`);
        expect((await imgtool('copy', '--src-no-creds', target, `dir:${at('closed')}`)).code).to.equal(4);
        expect((await imgtool('logout', '--all')).stderr).to.include(`logged out of ${closed.host}`);
        expect((await imgtool('copy', target, `dir:${at('closed')}`)).code).to.equal(4);
        expect((await imgtool('logout')).code).to.equal(2);
      } finally {
        await closed.stop();
      }
    });
  });
});

/** The lines of an output, without blanks at their ends. */
function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
}
