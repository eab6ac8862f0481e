import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCli } from '../../lib/cli/index.js';
import { startScript } from '../helpers/scripted-registry.js';
import { V1Registry } from '../helpers/v1-registry.js';

describe('command line: logins', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'imgtool-cli-login-'));
    await mkdir(join(home, '.docker'));
    await mkdir(join(home, '.config/imgtool'), { recursive: true });
  });
  afterEach(() => rm(home, { recursive: true }));

  const imgtool = async (
    args: readonly string[],
    env: Record<string, string> = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> => {
    const out = { stdout: '', stderr: '' };
    const code = await runCli(args, {
      stdout: { write: (data) => void (out.stdout += Buffer.from(data as Uint8Array).toString()) },
      stderr: { write: (data) => void (out.stderr += Buffer.from(data as Uint8Array).toString()) },
      env: { HOME: home, XDG_CONFIG_HOME: join(home, '.config'), XDG_RUNTIME_DIR: join(home, 'run'), ...env },
      signal: new AbortController().signal,
    });
    return { code, ...out };
  };
  const dockerConfig = (content: unknown): Promise<void> =>
    writeFile(join(home, '.docker/config.json'), JSON.stringify(content));

  it('a name that a terminal would obey is escaped (case 27)', async () => {
    const auth = Buffer.from('me\x1b[2J:pw').toString('base64');
    await dockerConfig({ auths: { 'reg.example': { auth } } });
    const { code, stdout } = await imgtool(['login', 'reg.example', '--get-login']);
    expect([code, stdout]).to.deep.equal([0, 'me\\x1b[2J\n']);
  });

  it('the most specific login is the one that is named; a token has no name', async () => {
    const auth = (user: string): object => ({ auth: Buffer.from(`${user}:pw`).toString('base64') });
    await dockerConfig({
      auths: { 'reg.example': auth('host'), 'reg.example/team': auth('team'), 'docker.io': { identitytoken: 'x' } },
    });
    const nameOf = async (host: string): Promise<string> =>
      (await imgtool(['login', host, '--get-login'])).stdout.trim();
    expect(await nameOf('reg.example')).to.equal('host');
    expect(await nameOf('reg.example/team/app')).to.equal('team');
    expect(await nameOf('https://index.docker.io/v1/')).to.equal('<token>');
  });

  for (const [what, args, hint] of [
    ['no terminal to ask on', ['reg.example'], '--password-stdin'],
    ['a password without a user name', ['reg.example', '--password-stdin'], '-u'],
    ['a user name with a password in it', ['reg.example', '-u', 'a:b', '--password-stdin'], '--password-stdin'],
    ['no registry', ['not a host', '-u', 'me', '--password-stdin'], 'HOST'],
    ['a name of Docker Hub', ['library', '-u', 'me', '--password-stdin'], 'localhost'],
  ] as const)
    it(`${what} is a usage error that says what to give`, async () => {
      const { code, stderr } = await imgtool(['login', ...args]);
      expect(code).to.equal(2);
      expect(stderr.split('\n')[1])
        .to.match(/^hint: /)
        .and.include(hint);
    });

  it('a login that the registry would have us send elsewhere says so, not that it was wrong', async () => {
    const server = await startScript([
      {
        method: 'GET',
        path: '/v2/',
        reply: { status: 401, headers: { 'www-authenticate': 'Bearer realm="https://else.example/token"' } },
      },
    ]);
    try {
      const { code, stderr } = await imgtool(['login', server.host, '--creds', 'me:hidden']);
      expect(code).to.equal(4);
      expect(stderr).to.include('another host').and.include('token-service').and.not.include('hidden');
    } finally {
      await server.close();
    }
  });

  it('a registry of protocol v1 checks the login too', async () => {
    const registry = await V1Registry.start({ login: 'me:right' });
    try {
      const wrong = await imgtool(['login', registry.host, '--creds', 'me:hidden']);
      expect(wrong.code).to.equal(4);
      expect(wrong.stderr).to.include('refused the login of me').and.not.include('hidden');
      expect((await imgtool(['login', registry.host, '--get-login'])).code).to.equal(4);
      expect((await imgtool(['login', registry.host, '--creds', 'me:right'])).code).to.equal(0);
      expect((await imgtool(['login', registry.host, '--get-login'])).stdout).to.equal('me\n');
      expect((await imgtool(['login', registry.host, '--creds', 'me:right', '--registry-version', '1'])).code).to.equal(
        0,
      );
      expect((await imgtool(['login', registry.host, '--creds', 'me:right', '--registry-version', '2'])).code).to.equal(
        3,
      );
      registry.verify();
    } finally {
      await registry.close();
    }
  });

  it('no password of a wrong command line is repeated', async () => {
    for (const args of [
      ['login', 'reg.example', '--password=hidden'],
      ['login', 'reg.example', '--pasword=hidden'],
      ['--pass=hidden', 'login'],
    ]) {
      const { code, stdout, stderr } = await imgtool(args);
      expect(code).to.equal(2);
      expect(stdout + stderr).to.not.include('hidden');
    }
  });

  it('secrets of variables and files are not in "config show"', async () => {
    await writeFile(join(home, '.config/imgtool/config.yaml'), 'creds: me:hidden\n');
    for (const env of [{}, { IMGTOOL_CREDS: 'me:hidden' }]) {
      const { stdout } = await imgtool(['config', 'show', '--origin'], env);
      expect(stdout).to.include('creds').and.not.include('hidden');
    }
  });

  it('a token service can be named for a registry, as text', async () => {
    const file = join(home, '.config/imgtool/config.yaml');
    await writeFile(file, 'registries: {reg.example: {token-service: auth.example, tls-verify: true}}\n');
    expect((await imgtool(['config', 'show'])).code).to.equal(0);
    await writeFile(file, 'registries: {reg.example: {token-service: true}}\n');
    const { code, stderr } = await imgtool(['config', 'show']);
    expect(code).to.equal(2);
    expect(stderr).to.include('token-service').and.include('is not text');
  });
});
