import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';
import { openTerminal, type OpenTerminal } from '../helpers/terminal.js';

/** How each shell starts without the files of this user, and with the completion that the program prints. */
const SHELLS = {
  bash: 'bash --norc --noprofile -i',
  zsh: 'zsh -f -i',
  fish: 'fish --private -i',
} as const;

describe('completion', () => {
  let home: string;
  let root: string;
  let registry: Served;
  let env: Record<string, string>;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'imgtool-completion-'));
    root = join(btrfsDirectory('completion'), 'store');
    await mkdir(join(home, 'work/files dir'), { recursive: true });
    await writeFile(join(home, 'work/rootfs.tar'), '');
    await mkdir(join(home, 'registry'));
    await writeOciLayout(join(home, 'work/layout'), [
      { tag: 'a', layers: [{ entries: [{ path: 'etc', type: 'dir' }] }] },
    ]);
    registry = await startServe(join(home, 'registry'));
    const image = `oci:${join(home, 'work/layout')}:a`;
    for (const name of ['team/app:1.0-alpha', 'team/app:2.0', 'zebra:1'])
      await imgtool(root, 'copy', image, `docker://${registry.host}/${name}`);
    await imgtool(root, 'copy', image, 'store:localhost:5000/quark:3.7');
    await imgtool(root, 'create', '--name', 'boxer', 'localhost:5000/quark:3.7');
    await mkdir(join(home, 'bin'));
    // What a user runs; what is typed comes back as the shell took it.
    const program = `#!/bin/sh\ncase $1 in __complete|completion) exec ${IMGTOOL} "$@" ;; esac\nprintf '[%s]' "$@"; echo .\n`;
    await writeFile(join(home, 'bin/imgtool'), program, { mode: 0o755 });
    await mkdir(join(home, '.docker'));
    await writeFile(
      join(home, '.docker/config.json'),
      JSON.stringify({ auths: { 'registry.example.com': { auth: 'dXNlcjpzZWNyZXQ=' } } }),
    );
    env = {
      PATH: `${join(home, 'bin')}:${process.env.PATH}`,
      HOME: home,
      XDG_CACHE_HOME: join(home, 'cache'),
      IMGTOOL_ROOT: root,
      TERM: 'xterm',
      // A busy machine is not what these are about.
      IMGTOOL_COMPLETION_TIMEOUT: '30',
      LANG: 'C.UTF-8',
    };
    // A shell's answer does not depend on how busy this machine is.
    for (const name of ['', 'team/app:'])
      expect(
        await answerInTime(['pull', `${registry.host}/${name}`], { XDG_CACHE_HOME: join(home, 'cache') }),
      ).to.have.length(3);
  });
  after(async () => {
    await registry.stop();
    await rm(home, { recursive: true, force: true });
  });

  /** `answer`, asked again while a busy machine makes a registry answer too late. */
  async function answerInTime(words: readonly string[], more: Record<string, string>): Promise<string[]> {
    for (let tries = 1; ; tries += 1) {
      const found = await answer(words, more);
      if (found.length > 1 || tries === 10) return found;
      await rm(join(more.XDG_CACHE_HOME!, 'imgtool'), { recursive: true, force: true });
    }
  }

  /** The words that complete a line, as the scripts get them; the first is what the shell adds itself. */
  async function answer(words: readonly string[], more: Record<string, string> = {}): Promise<string[]> {
    const text = await run(IMGTOOL, ['__complete', ...words], { env: { ...env, ...more }, cwd: join(home, 'work') });
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t')[0]!);
  }

  for (const shell of ['bash', 'zsh', 'fish'] as const)
    describe(`in ${shell}`, function () {
      // On a machine that is too busy nothing is offered in time.
      this.retries(3);
      let terminal: OpenTerminal;
      before(async () => {
        terminal = await openTerminal(SHELLS[shell], { env });
        const load = {
          bash: 'PS1="ready> "; source <(imgtool completion bash)',
          zsh: 'PS1="ready> "; autoload -U compinit; compinit -D; source <(imgtool completion zsh)',
          fish: 'function fish_prompt; echo "ready> "; end; imgtool completion fish | source',
        }[shell];
        await terminal.type(`${load}; cd ${join(home, 'work')}; echo loa""ded\r`, /\nloaded\n[^]*ready>/);
      });
      after(() => terminal.close());

      /** What the program is started with when `line`, a tab and Enter are typed. */
      async function typed(line: string): Promise<string> {
        // In two writes: a shell may throw away what was typed before a completion has run.
        await terminal.type(`${line}\t`, /./);
        const printed = await terminal.type('\r', /\[[^\n]*\]\.\n[^]*ready> /);
        return /(\[[^\n]*\])\.\n/.exec(printed)![1]!;
      }

      for (const [line, want] of [
        ['imgtool ser', '[serve]'],
        ['imgtool store fs', '[store][fsck]'],
        ['imgtool config sho', '[config][show]'],
        ['imgtool help pul', '[help][pull]'],
        ['imgtool pull --polic', '[pull][--policy]'],
        ['imgtool pull --policy newe', '[pull][--policy][newer]'],
        ['imgtool pull --policy=newe', '[pull][--policy=newer]'],
        ['imgtool rmi localhost:5000/qu', '[rmi][localhost:5000/quark:3.7]'],
        ['imgtool rmi localhost:5000/quark:3', '[rmi][localhost:5000/quark:3.7]'],
        ['imgtool rm box', '[rm][boxer]'],
        ['imgtool cp boxe', '[cp][boxer:]'],
        ['imgtool run local', '[run][localhost:5000/quark:3.7]'],
        ['imgtool import root', '[import][rootfs.tar]'],
        // zsh takes the slash away again.
        ['imgtool --root files', shell === 'zsh' ? '[--root][files dir]' : '[--root][files dir/]'],
        ['imgtool load --input=root', '[load][--input=rootfs.tar]'],
        ['imgtool logout regi', '[logout][registry.example.com]'],
        ['imgtool copy docker-v', '[copy][docker-v1://]'],
        ['imgtool copy store:lo', '[copy][store:localhost:5000/quark:3.7]'],
        ['imgtool copy oci:lay', '[copy][oci:layout/]'],
        ['imgtool pull HOST/ze', '[pull][HOST/zebra]'],
        ['imgtool pull HOST/team/app:2', '[pull][HOST/team/app:2.0]'],
        ['imgtool inspect docker://HOST/team/app:1', '[inspect][docker://HOST/team/app:1.0-alpha]'],
        ['imgtool copy docker://HOST/team/app:1.', '[copy][docker://HOST/team/app:1.0-alpha]'],
        ['imgtool mount nosuch', '[mount][nosuch]'],
      ] as const)
        it(`completes "${line}"`, async () => {
          expect(await typed(line.replace('HOST', registry.host))).to.equal(want.replace('HOST', registry.host));
        });

      it('shows the tags that there are to choose from', async () => {
        const shown = await terminal.type(
          `imgtool tag x ${registry.host}/team/app:${shell === 'bash' ? '\t\t' : '\t'}`,
          /1\.0-alpha[^]*2\.0/,
        );
        expect(shown).to.not.match(/error|denied|not found/i);
        await terminal.type('\x03', /ready> /);
      });
    });

  it('names what it offers in one answer', async () => {
    expect(await answer(['rm', ''])).to.deep.equal(['nothing', 'boxer']);
    expect(await answer(['cp', ''])).to.deep.equal(['files', 'boxer:']);
    expect(await answer(['save', '--output', ''])).to.deep.equal(['files']);
    expect(await answer(['--root', ''])).to.deep.equal(['directories']);
    expect(await answer(['pull', '--platform', 'linux/arm6'])).to.deep.equal(['nothing', 'linux/arm64']);
    expect(await answer(['run', 'boxer', ''])).to.deep.equal(['nothing']);
    expect(await answer(['run', '--net', 'host', '-it', 'box'])).to.deep.equal(['nothing', 'boxer']);
    expect(await answer(['build', '--pull=n'])).to.deep.equal(['nothing', '--pull=never', '--pull=newer']);
    expect(await answer(['pull', '--policy', 'always', '--pol'])).to.deep.equal(['nothing']);
    expect(await answer(['-q', '--tls-verify=f'])).to.deep.equal(['nothing', '--tls-verify=false']);
    expect(await answer(['config', ''])).to.deep.equal(['nothing', 'localhost:5000/quark:3.7', 'show']);
    expect(await answer(['tags', 'regi'])).to.deep.equal(['nothing', 'registry.example.com/']);
    expect(await answer(['--root', join(home, 'none'), 'rm', ''])).to.deep.equal(['nothing']);
    expect(await answer(['nosuch', ''])).to.deep.equal(['nothing']);
    expect(await answer([]))
      .to.include.members(['pull', 'ps', 'store', 'help', 'version'])
      .and.not.include('__complete');
  });

  it('completes IDs', async () => {
    const [image] = JSON.parse(await imgtool(root, 'images', '--json')) as { id: string }[];
    const hex = image!.id.slice('sha256:'.length);
    expect(await answer(['rmi', hex.slice(0, 4)])).to.deep.equal(['nothing', hex.slice(0, 12)]);
    expect(await answer(['rmi', hex.slice(0, 20)])).to.deep.equal(['nothing', hex.slice(0, 20)]);
    expect(await answer(['rmi', 'sha256:'])).to.deep.equal(['nothing', image!.id]);
  });

  it('asks a registry once in some minutes, and keeps no login and nothing in the home of somebody else', async () => {
    const cache = join(home, 'cache-once');
    const line = ['pull', `${registry.host}/team/app:`];
    const more = { XDG_CACHE_HOME: cache };
    const tags = ['1.0-alpha', '2.0'].map((tag) => `${registry.host}/team/app:${tag}`);
    expect(await answerInTime(line, more)).to.deep.equal(['nothing', ...tags]);
    const path = join(cache, 'imgtool/completion.json');
    const kept = await readFile(path, 'utf8');
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    // The answer comes from the file now.
    await writeFile(path, kept.replace('2.0', '2.1'));
    expect(await answerInTime(line, more)).to.include(`${registry.host}/team/app:2.1`);
    await writeFile(path, kept.replace('2.0', '2.0;reboot'));
    expect((await answerInTime(line, more)).join()).to.not.include('reboot');
    await writeFile(path, '{"x": 1, "y": {"at": 5}, ');
    expect(await answerInTime(line, more)).to.deep.equal(['nothing', ...tags]);
    await rm(path);
    expect(await answerInTime(['--creds', 'user:secret', ...line], more)).to.deep.equal(['nothing', ...tags]);
    expect(await stat(path).catch(() => 'absent')).to.equal('absent');
    if (process.getuid!() !== 0) return;
    const foreign = join(home, 'foreign');
    await mkdir(foreign);
    await run('chown', ['65534', foreign]);
    expect(await answerInTime(line, { XDG_CACHE_HOME: join(foreign, 'cache') })).to.deep.equal(['nothing', ...tags]);
    expect(await run('ls', ['-A', foreign])).to.equal('');
  });

  it('gives up on a registry that does not answer, and does not ask it again at once', async () => {
    let asked = 0;
    const silent = createServer((socket) => {
      asked += 1;
      socket.on('error', () => undefined);
    });
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
    try {
      const line = ['pull', `127.0.0.1:${(silent.address() as AddressInfo).port}/app:`];
      const more = { XDG_CACHE_HOME: join(home, 'cache-silent'), IMGTOOL_COMPLETION_TIMEOUT: '' };
      expect(await answer(line, { ...more, IMGTOOL_COMPLETION_TIMEOUT: '3' })).to.deep.equal(['nothing']);
      expect(asked).to.be.greaterThan(0);
      // A busy machine may leave no time to keep that it failed.
      for (let tries = 0, before = 0; before !== asked; tries += 1) {
        expect(tries).to.be.lessThan(5);
        before = asked;
        await answer(line, more);
      }
    } finally {
      silent.close();
    }
  });

  it('says nothing on stderr, whatever is wrong', async () => {
    await mkdir(join(home, 'broken/imgtool'), { recursive: true });
    await writeFile(join(home, 'broken/imgtool/config.yaml'), 'root: [');
    await writeFile(join(home, 'broken/auth.json'), '{"auths": 5}');
    await chmod(join(home, 'broken/auth.json'), 0o600);
    const more = {
      XDG_CONFIG_HOME: join(home, 'broken'),
      REGISTRY_AUTH_FILE: join(home, 'broken/auth.json'),
      IMGTOOL_PARALLEL: 'x',
    };
    for (const words of [
      ['rmi', ''],
      ['login', ''],
      ['pull', '127.0.0.1:1/x:'],
      ['--', '-x', ''],
      ['-'],
      ['copy', 'oci:/nosuch/'],
    ]) {
      const out = await run('sh', ['-c', '"$0" __complete "$@" 2>&1', IMGTOOL, ...words], { env: { ...env, ...more } });
      expect(out, words.join(' '))
        .to.match(/^(nothing|files|directories)\n/)
        .and.not.match(/imgtool:/);
    }
  });
});
