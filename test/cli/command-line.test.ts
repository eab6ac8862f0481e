import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { allCommands, cliReference, GLOBAL_OPTIONS, parseArguments, runCli, variableOf } from '../../lib/cli/index.js';

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('command line', () => {
  let home: string;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'imgtool-cli-'));
    mkdirSync(join(home, 'imgtool'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  async function imgtool(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
    const out = { stdout: '', stderr: '' };
    const code = await runCli(args, {
      stdout: { write: (data) => void (out.stdout += Buffer.from(data as Uint8Array).toString()) },
      stderr: { write: (data) => void (out.stderr += Buffer.from(data as Uint8Array).toString()) },
      env: { XDG_CONFIG_HOME: home, LANG: 'C.UTF-8', ...env },
      signal: new AbortController().signal,
    });
    return { code, ...out };
  }

  async function setting(key: string, args: readonly string[], env?: Record<string, string>): Promise<unknown> {
    const { stdout, stderr } = await imgtool([...args, 'config', 'show', '--json'], env);
    expect(stderr).to.equal('');
    const rows = JSON.parse(stdout) as { key: string; value: unknown; origin: string }[];
    const { value, origin } = rows.find((row) => row.key === key)!;
    return [value, origin.replace(home, 'HOME')];
  }

  for (const args of [
    ['--dest-creds', 'me:hush-hush', 'copy', 'a', 'b'],
    ['--dest-credz', 'me:hush-hush', 'copy', 'a', 'b'],
    ['--dest-creds=me:hush-hush', 'copy', 'a', 'b'],
    ['--creds', 'me:hush-hush', 'sevre'],
    ['copy', '--src-creds', 'me:hush-hush', '--nosuch', 'a', 'b'],
    ['pull', 'me:hush-hush@reg.example/app'],
    ['pull', 'docker://me:hush-hush@reg.example/app:1', '--json'],
    ['copy', 'https://me:hush-hush@reg.example/app', 'b'],
    ['sync', 'a.example/b', 'me:hush-hush@reg.example/app'],
    ['tags', 'me:hush-hush@reg.example/app'],
    ['login', 'me:hush-hush@reg.example'],
    ['rmi', 'me:hush-hush@reg.example/app', '--root', '/nonexistent'],
  ])
    it(`"imgtool ${args.join(' ')}" does not repeat the password`, async () => {
      for (const more of [[], ['--log-level', 'debug']]) {
        const { code, stdout, stderr } = await imgtool([...args, ...more]);
        expect(code).to.be.oneOf([2, 3]);
        expect(stdout + stderr).to.not.include('hush');
      }
    });

  it('an option of a command that stands before it is named with the command', async () => {
    const { stderr } = await imgtool(['--dest-creds', 'me:hush-hush', 'copy', 'a', 'b']);
    expect(stderr).to.equal(
      `imgtool: copy failed: unknown option '--dest-creds'\nhint: write it after the command: imgtool copy --dest-creds …\n`,
    );
  });

  it('--tls-verify and those of one side take false after a space', async () => {
    const [before, after] = [['copy', 'a', 'b'], ['c']];
    for (const name of ['tls-verify', 'src-tls-verify', 'dest-tls-verify'])
      for (const value of ['true', 'false']) {
        const parsed = await parseArguments([...before, `--${name}`, value, ...after], 80);
        expect(parsed)
          .to.include({ kind: 'command' })
          .and.deep.include({ args: ['a', 'b', 'c'] });
        expect('flags' in parsed && parsed.flags.get(name)).to.deep.equal([value]);
      }
    const given = await parseArguments(['copy', 'a', 'b', '--all', 'false'], 80);
    expect(given).to.deep.include({ args: ['a', 'b', 'false'] });
  });

  for (const { args, want, flags } of [
    {
      args: ['build', '--no-cache-filter', 'a', '--no-cache', '.'],
      want: ['.'],
      flags: { 'no-cache-filter': ['a'], 'no-cache': ['true'] },
    },
    { args: ['serve', '--v1-tokens=false'], want: [], flags: { 'v1-tokens': ['false'] } },
    {
      args: ['push', 'a', '--plan', '-q', '--', '-b'],
      want: ['a', '-b'],
      flags: { 'dry-run': ['true'], quiet: ['true'] },
    },
    { args: ['images', '--filter=', '-fa=b', '-f', '-c'], want: [], flags: { filter: ['', 'a=b', '-c'] } },
    { args: ['--json', 'ps', '--json=false'], want: [], flags: { json: ['false'] } },
    { args: ['config', '--root', '/x', 'show'], want: [], flags: { root: ['/x'] } },
  ])
    it(`"imgtool ${args.join(' ')}" is understood`, async () => {
      const parsed = await parseArguments(args, 80);
      expect(parsed).to.deep.include({ args: want, flags: new Map(Object.entries(flags)) });
    });

  for (const { args, hint } of [
    { args: ['images', '--filter'], hint: 'imgtool images --help' },
    { args: ['images', '-qxf', 'a'], hint: 'imgtool images --help' },
    { args: ['store'], hint: 'imgtool store --help' },
    { args: ['store df'], hint: 'did you mean' },
    { args: ['nosuch', '--help'], hint: 'imgtool --help' },
    { args: ['store', 'nosuch', '--help'], hint: 'did you mean' },
    { args: ['help', 'nosuch'], hint: 'imgtool --help' },
    { args: ['ls'], hint: 'imgtool images' },
    { args: ['exec', 'box', 'ls'], hint: 'imgtool run CONTAINER' },
    { args: ['umount', 'box'], hint: 'imgtool mount' },
    { args: ['catalog', 'localhost:5000/team/app'], hint: 'imgtool tags localhost:5000/team/app' },
    { args: ['sync', 'localhost:5000/app'], hint: 'imgtool sync localhost:5000/app HOST' },
    { args: ['sync', 'nosuch.yaml', 'localhost:5000/app'], hint: 'check the path' },
    { args: ['pull', 'dir:/x'], hint: 'imgtool copy' },
    { args: ['pull', 'containers-storage:x'], hint: 'podman save' },
    { args: ['copy', 'docker-daemon:x', 'oci:/x'], hint: 'docker save' },
    { args: ['push', 'x', 'oci:/x'], hint: 'imgtool copy' },
    { args: ['sevre'], hint: 'did you mean "serve"?' },
    { args: ['completion'], hint: 'imgtool completion --help' },
    { args: ['completion', 'tcsh'], hint: 'choose one of bash, zsh, fish' },
    { args: ['completion', 'bash', 'zsh'], hint: 'imgtool completion --help' },
    { args: ['config', 'show', '--orign'], hint: 'did you mean "--origin"?' },
    { args: ['config'], hint: 'imgtool mutate --help' },
    { args: ['--root', '/x', '-q', 'tag', 'alpine'], hint: 'imgtool tag --help' },
    { args: ['config', 'show', '--parallel', '0'], hint: undefined },
    { args: ['config', 'show', '--progress', 'loud'], hint: 'choose one of auto, tty, plain, json, none' },
    { args: ['config', 'show', '--json=maybe'], hint: undefined },
  ])
    it(`"imgtool ${args.join(' ')}" is a usage error with a hint`, async () => {
      const { code, stdout, stderr } = await imgtool(args);
      expect(code).to.equal(2);
      expect(stdout).to.equal('');
      expect(stderr).to.match(/^imgtool: .+ failed: .+\n/);
      if (hint !== undefined)
        expect(stderr.split('\n')[1])
          .to.match(/^hint: /)
          .and.include(hint);
    });

  for (const args of [[], ['help'], ['--help'], ['-q']])
    it(`"imgtool ${args.join(' ')}" prints help`, async () => {
      const { code, stdout, stderr } = await imgtool(args);
      expect([code, stderr]).to.deep.equal([0, '']);
      expect(stdout).to.match(/^Usage: imgtool \[OPTIONS\] COMMAND/);
    });

  it('help, version and -v are understood as by other tools', async () => {
    expect(await imgtool(['help', 'store', 'df'])).to.deep.equal(await imgtool(['store', 'df', '--help']));
    expect(await imgtool(['help', 'run', 'box', 'ls'])).to.deep.equal(await imgtool(['run', '--help']));
    for (const word of ['version', '-v', '--version'])
      expect((await imgtool([word])).stdout, word).to.match(/^\d+\.\d+\.\d+\n$/);
    const { stdout, stderr } = await imgtool(['version', '--json']);
    expect(stderr).to.equal('');
    expect(JSON.parse(stdout)).to.deep.equal({
      version: (await imgtool(['--version'])).stdout.trim(),
      node: process.versions.node,
      platform: `${process.platform}/${process.arch}`,
    });
  });

  it('a report tells of an argument that the command does not take', async () => {
    const report = join(home, 'report.xml');
    expect(await imgtool(['completion', 'csh', '--report', `junit=${report}`])).to.include({ code: 2 });
    expect(readFileSync(report, 'utf8')).to.match(/failures="1"[^]*SHELL cannot be/);
  });

  it('an error before any command is understood names the program once', async () => {
    expect((await imgtool(['--nosuch'])).stderr).to.match(/^imgtool: (?!imgtool)/);
  });

  it('a variable that is nearly one of the settings, and a root without a store, are told', async () => {
    const root = join(home, 'nowhere');
    const { code, stderr } = await imgtool(['images', '--root', root], { IMGTOOL_PARALEL: '3', IMGTOOL_OTHER: '' });
    expect(code).to.equal(0);
    expect(stderr.split('\n')).to.have.length(3);
    expect(stderr).to.include('did you mean IMGTOOL_PARALLEL?').and.include(`there is no store at ${root}`);
  });

  it('what a file of mirrors says itself is refused beside it, but not as a setting', async () => {
    const file = join(home, 'mirrors.yaml');
    writeFileSync(file, 'sync:\n  - source: 127.0.0.1:1/a\n    target: 127.0.0.1:1/b\n');
    for (const flag of ['--max-delete=10', '--newest-by=semver', '--platform=amd64', '--scoped', '--tags=*']) {
      const { code, stderr } = await imgtool(['sync', file, flag]);
      expect(code, flag).to.equal(2);
      expect(stderr)
        .to.include(
          `${flag.replace(/=.*/, '')} ${flag === '--scoped' ? 'requires a source and a target' : 'cannot be used with a file of rules'}`,
        )
        .and.match(/\nhint: write .+ into .+mirrors\.yaml/);
    }
    const env = { IMGTOOL_SYNC_MAX_DELETE: '3', IMGTOOL_SYNC_SCOPED: 'true', IMGTOOL_PLATFORM: 'amd64' };
    expect((await imgtool(['sync', file, '--retry', '0'], env)).code).to.equal(5);
  });

  it('with --json errors are JSON, even when the flags are wrong', async () => {
    const { code, stderr } = await imgtool(['--json', 'nonsense']);
    expect(code).to.equal(2);
    const { error } = JSON.parse(stderr) as { error: { code: string } };
    expect(error.code).to.equal('ERR_IMGTOOL_USAGE');
  });

  it('flag wins over variable, variable over file, file over default', async () => {
    expect(await setting('parallel', [])).to.deep.equal([6, 'default']);
    const file = join(home, 'imgtool/config.yaml');
    writeFileSync(file, 'parallel: 3\nregistries:\n  "localhost:5000": { tls-verify: false }\n');
    expect(await setting('parallel', [])).to.deep.equal([3, 'file HOME/imgtool/config.yaml']);
    const env = { IMGTOOL_PARALLEL: '4' };
    expect(await setting('parallel', [], env)).to.deep.equal([4, 'variable IMGTOOL_PARALLEL']);
    expect(await setting('parallel', ['--parallel', '5'], env)).to.deep.equal([5, 'flag']);
    rmSync(file);
  });

  it('booleans take =true and =false, before and after the verb', async () => {
    expect(await setting('tls-verify', ['--tls-verify=false'])).to.deep.equal([false, 'flag']);
    expect(await setting('tls-verify', ['--tls-verify', 'false'])).to.deep.equal([false, 'flag']);
    const { stdout } = await imgtool(['config', 'show', '--tls-verify=false', '--json']);
    expect(stdout).to.match(/"key":"tls-verify"[^}]*"value":false/);
    const off = await imgtool(['config', 'show', '--json=false'], { IMGTOOL_JSON: '1' });
    expect(off.stdout).to.match(/^KEY/);
  });

  for (const command of ['run', 'create'])
    it(`${command} makes no store for an image that cannot be pulled`, async () => {
      const root = join(home, 'none-yet');
      const { code, stderr } = await imgtool([command, '127.0.0.1:1/nosuch', '--retry', '0', '--root', root]);
      expect(code).to.equal(5);
      expect(stderr).to.include('127.0.0.1:1');
      expect(readdirSync(home).filter((name) => name.startsWith('none-yet'))).to.deep.equal([]);
    });

  for (const command of ['mutate', 'config'])
    it(`options of mutate may be set under the name ${command}`, async () => {
      const line = [command, 'a', '--root', join(home, 'none')];
      expect((await imgtool(line)).stderr).to.include('nothing is to be changed');
      const { stderr } = await imgtool(line, { [`IMGTOOL_${command.toUpperCase()}_AUTHOR`]: 'me' });
      expect(stderr).to.include('there is no store').and.not.include('warning');
      const file = join(home, 'imgtool/config.yaml');
      writeFileSync(file, `${command}: { author: me }\n`);
      expect((await imgtool(line)).stderr).to.include('there is no store');
      rmSync(file);
    });

  it('secrets are not shown', async () => {
    const { stdout } = await imgtool(['config', 'show', '--json', '--creds', 'me:hidden']);
    expect(stdout).to.include('creds').and.not.include('hidden');
  });

  for (const { name, text, want } of [
    { name: 'an unknown key', text: 'paralel: 3', want: 'did you mean "parallel"?' },
    { name: 'what is not YAML', text: 'a: [', want: 'is not YAML' },
    { name: 'a bad value', text: 'parallel: many', want: 'parallel in' },
    { name: 'a bad registry setting', text: 'registries: {a: {tls-verify: 3}}', want: 'not true or false' },
  ])
    it(`a config file with ${name} is refused`, async () => {
      writeFileSync(join(home, 'imgtool/config.yaml'), text);
      const { code, stderr } = await imgtool(['config', 'show']);
      rmSync(join(home, 'imgtool/config.yaml'));
      expect(code).to.equal(2);
      expect(stderr).to.include(want);
    });

  it('every command has help with an example that calls it', async () => {
    for (const command of await allCommands()) {
      const { code, stdout } = await imgtool([...command.path, '--help']);
      expect(code).to.equal(0);
      expect(stdout).to.include(`Usage: imgtool ${command.path.join(' ')}`);
      const examples = command.examples.map((example) => example.command).join('\n');
      expect(examples).to.include(`imgtool ${command.path.join(' ')}`);
    }
  });

  it('no option of a command has the name or letter of a global one', async () => {
    const taken = new Set(GLOBAL_OPTIONS.flatMap(({ name, short }) => [name, short]));
    taken.delete(undefined);
    for (const { path, options } of await allCommands())
      for (const { name, short } of options) {
        expect(taken.has(name), `${path.join(' ')} --${name}`).to.equal(false);
        expect(taken.has(short), `${path.join(' ')} -${short}`).to.equal(false);
      }
  });

  it('variables follow the rule', () => {
    expect(variableOf({ name: 'tls-verify', summary: '', shared: true }, ['pull'])).to.equal('IMGTOOL_TLS_VERIFY');
    expect(variableOf({ name: 'size', summary: '' }, ['store', 'init'])).to.equal('IMGTOOL_STORE_INIT_SIZE');
  });

  it('docs/cli.md is what the command table says ("npm run docs" writes it)', async () => {
    expect(readFileSync('docs/cli.md', 'utf8')).to.equal(cliReference(await allCommands()));
  });
});
