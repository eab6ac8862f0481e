import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { commandLine, type CommandOutcome } from '../helpers/command-line.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { makeHelpers, type FakeHelpers } from '../helpers/fake-credential-helper.js';
import { IMGTOOL } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { makeSelfSigned } from '../helpers/self-signed.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

const USER = 'me';
const PASSWORD = 'se:cret wörd';
/** Made with `htpasswd -nbBC 4 me 'se:cret wörd'` (package apache2-utils). */
const HTPASSWD = 'me:$2y$04$hbtSuwHm6vlvwWW07s.x1.l.6I8MfHE0wrictnltBVAY94b7Rjxta\n';

describe('imgtool login and logout', () => {
  let workspace: Workspace;
  let directory: string;
  let registry: DockerRegistry;
  let helpers: FakeHelpers;
  let image: string;
  let digest: string;
  const config = (): string => join(directory, 'docker/config.json');

  before(async () => {
    workspace = await makeWorkspace('login');
    ({ directory } = workspace);
    const path = (name: string): string => join(directory, name);
    await mkdir(path('certs'));
    const { cert, key } = await makeSelfSigned();
    await Promise.all([
      writeFile(path('certs/ca.crt'), cert),
      writeFile(path('key'), key),
      writeFile(path('htpasswd'), HTPASSWD),
    ]);
    [registry, helpers, digest] = await Promise.all([
      startDockerRegistry({
        http: { tls: { certificate: path('certs/ca.crt'), key: path('key') } },
        config: { auth: { htpasswd: { realm: 'test', path: path('htpasswd') } } },
      }),
      makeHelpers(directory, ['keep']),
      writeSmallImage(path('layout')),
    ]);
    image = `${registry.host}/team/small:1`;
    const to = ['--dest-creds', `${USER}:${PASSWORD}`, '--dest-cert-dir', path('certs')];
    await run('skopeo', ['copy', '-q', ...to, `oci:${path('layout')}:${SMALL_IMAGE_TAG}`, `docker://${image}`]);
  });
  after(async () => {
    await registry.stop();
    await workspace.remove();
  });
  beforeEach(() => rm(join(directory, 'docker'), { recursive: true, force: true }));

  /** Runs imgtool with a home of its own; checks that no secret is in what it prints. */
  const imgtool = async (
    args: readonly string[],
    input = '',
    env: Record<string, string> = {},
  ): Promise<CommandOutcome> => {
    const common = ['--root', join(directory, 'root'), '--cert-dir', join(directory, 'certs')];
    const out = await commandLine(['--log-level', 'debug', ...common, ...args], {
      input,
      env: {
        ...process.env,
        HOME: directory,
        XDG_RUNTIME_DIR: join(directory, 'run'),
        XDG_CONFIG_HOME: join(directory, 'config'),
        DOCKER_CONFIG: join(directory, 'docker'),
        PATH: helpers.path,
        ...env,
      },
    });
    expect(out.stdout + out.stderr).to.not.include('cret');
    return out;
  };
  const login = (password = PASSWORD, ...more: string[]): Promise<CommandOutcome> =>
    imgtool(['login', registry.host, '-u', USER, '--password-stdin', ...more], `${password}\n`);
  const digestOf = (env: Record<string, string> = {}): Promise<CommandOutcome> => imgtool(['digest', image], '', env);

  it('pull, push and logout work with what login keeps; nothing works without', async () => {
    const before = await imgtool(['pull', image]);
    expect(before.code).to.equal(4);
    expect(before.stderr).to.include(`hint: log in with: imgtool login ${registry.host}`);

    const done = await login();
    expect([done.code, done.stdout]).to.deep.equal([0, '']);
    expect(done.stderr).to.include('not encrypted');
    expect((await stat(config())).mode & 0o777).to.equal(0o600);
    const who = await imgtool(['login', registry.host, '--get-login']);
    expect([who.code, who.stdout]).to.deep.equal([0, `${USER}\n`]);
    expect((await imgtool(['pull', image])).code).to.equal(0);
    const pushed = await imgtool(['push', image, `${registry.host}/other/small:2`]);
    expect([pushed.code, pushed.stdout]).to.deep.equal([0, `${digest}\n`]);

    expect((await imgtool(['logout', registry.host])).code).to.equal(0);
    expect((await digestOf()).code).to.equal(4);
    const nobody = await imgtool(['login', registry.host, '--get-login']);
    expect([nobody.code, nobody.stdout]).to.deep.equal([4, '']);
    expect((await imgtool(['logout', registry.host])).stderr).to.include('was not logged in');
  });

  it('a wrong password is refused before anything is kept', async () => {
    await mkdir(join(directory, 'docker'));
    await writeFile(config(), '{}');
    const { code, stderr } = await login('wrong-secret');
    expect(code).to.equal(4);
    expect(stderr).to.include(`${registry.host} refused the login of ${USER}`).and.include('hint: check');
    expect(await readFile(config(), 'utf8')).to.equal('{}');
  });

  it('a wrong --creds is said to be refused', async () => {
    const { code, stderr } = await imgtool(['digest', image, '--creds', `${USER}:wrong-secret`]);
    expect(code).to.equal(4);
    expect(stderr).to.include(`${registry.host} refused the credentials of --creds`).and.include('hint: check');
  });

  it('a registry that does not answer is no wrong password, and nothing is kept', async () => {
    const args = ['--retry', '0', 'login', '127.0.0.1:1', '-u', USER, '--password-stdin'];
    expect((await imgtool(args, PASSWORD)).code).to.equal(5);
    expect(await readFile(config(), 'utf8').catch(() => undefined)).to.equal(undefined);
  });

  it('a helper keeps the secret where the file names one', async () => {
    await mkdir(join(directory, 'docker'));
    await writeFile(config(), JSON.stringify({ credHelpers: { [registry.host]: 'keep' } }));
    expect((await login()).code).to.equal(0);
    expect(await readFile(config(), 'utf8')).to.not.include('auth"');
    expect(await helpers.kept('keep', registry.host)).to.include(PASSWORD);
    expect((await digestOf()).stdout).to.equal(`${digest}\n`);
    expect((await imgtool(['logout', registry.host])).code).to.equal(0);
    expect(await helpers.kept('keep', registry.host)).to.equal(undefined);
    expect(await helpers.argv('keep')).to.not.include('cret');
  });

  it("skopeo reads imgtool's logins, and imgtool skopeo's; --authfile and --creds name others", async () => {
    expect((await login()).code).to.equal(0);
    const tls = ['--cert-dir', join(directory, 'certs')];
    const inspect = ['inspect', '--format', '{{.Digest}}', ...tls, '--authfile', config(), `docker://${image}`];
    expect((await run('skopeo', inspect)).trim()).to.equal(digest);

    await rm(config());
    const authfile = join(directory, 'run/containers/auth.json');
    await mkdir(join(directory, 'run/containers'), { recursive: true });
    await run('skopeo', ['login', ...tls, '--authfile', authfile, '-u', USER, '-p', PASSWORD, registry.host]);
    expect((await digestOf()).stdout).to.equal(`${digest}\n`);
    expect((await digestOf({ XDG_RUNTIME_DIR: '/nowhere', REGISTRY_AUTH_FILE: authfile })).code).to.equal(0);
    expect((await imgtool(['digest', image, '--authfile', join(directory, 'none')])).code).to.equal(2);
    await rm(authfile);
    const made = join(directory, 'made.json');
    expect((await login(PASSWORD, '--authfile', made)).code).to.equal(0);
    expect((await digestOf({ REGISTRY_AUTH_FILE: made })).code).to.equal(0);
    expect((await digestOf({ IMGTOOL_CREDS: `${USER}:${PASSWORD}` })).code).to.equal(0);
  });

  it('asks on a terminal, and shows no password', async () => {
    const words = [IMGTOOL, '--cert-dir', join(directory, 'certs'), 'login', registry.host];
    const child = spawn('script', ['-qec', words.map((word) => `'${word}'`).join(' '), '/dev/null'], {
      env: { ...process.env, HOME: directory, DOCKER_CONFIG: join(directory, 'docker') },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let shown = '';
    const answers = [
      ['User name: ', `${USER}x\x7f\r`],
      ['Password: ', `${PASSWORD}\r`],
    ] as const;
    let asked = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      const next = answers[asked];
      if (next === undefined || !shown.includes(next[0])) return;
      asked++;
      child.stdin.write(next[1]);
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    expect(shown).to.include(`logged in to ${registry.host} as ${USER}`).and.not.include('cret');
    expect(code).to.equal(0);
    expect(await readFile(config(), 'utf8')).to.include(Buffer.from(`${USER}:${PASSWORD}`).toString('base64'));
  });
});
