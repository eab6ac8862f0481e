import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { digestsOf } from '../helpers/artifacts.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { COMMIT, PRODUCTION_LOGIN, STAGING_LOGIN, type CiRegistries } from '../helpers/ci-registries.js';
import { IMGTOOL, type Served } from '../helpers/imgtool.js';
import { BUILD_RECIPES, RecipeWorld } from '../helpers/recipe-world.js';
import { run } from '../helpers/run.js';

/** The recipes that other files run. */
const ELSEWHERE: readonly string[] = BUILD_RECIPES;

describe('the recipes of docs/ci', () => {
  let world: RecipeWorld;
  let registries: CiRegistries;

  before(async () => {
    world = await RecipeWorld.open();
    registries = world.registries;
  });
  after(() => world.close());

  /** Production has the index of the commit under a tag, with all that it lists and what refers to it. */
  async function expectPromoted(tag: string): Promise<void> {
    const url = `http://${registries.production.open.host}`;
    expect((await digestsOf(url, 'team/app')).get(tag)).to.equal(registries.built);
    const image = `docker://${registries.production.open.host}/team/app:${tag}`;
    for (const architecture of ['amd64', 'arm64'])
      await run('skopeo', ['inspect', '--tls-verify=false', `--override-arch=${architecture}`, image]);
    const referrers = (await (await fetch(`${url}/v2/team/app/referrers/${registries.built}`)).json()) as {
      manifests: object[];
    };
    expect(referrers.manifests).to.have.length(1);
  }

  const tagsOf = async (registry: Served, repository: string): Promise<string[]> => [
    ...(await digestsOf(`http://${registry.host}`, repository)).keys(),
  ];

  it('GitLab: promote', async () => {
    const machine = await world.newMachine();
    const target = `${registries.production.host}/team/app`;
    await world.succeed(machine, world.recipe('gitlab.md: promote').scripts[0]!, {
      env: {
        ...world.gitLabEnvironment(),
        ...{ CI_COMMIT_TAG: 'gitlab', PRODUCTION_IMAGE: target },
        ...{ PRODUCTION_USER: PRODUCTION_LOGIN.user, PRODUCTION_PASSWORD: PRODUCTION_LOGIN.password },
      },
    });
    await expectPromoted('gitlab');
    expect(await readFile(join(machine.cwd, 'promote.env'), 'utf8')).to.equal(`IMAGE=${target}@${registries.built}\n`);
  });

  it('GitLab: mirror, its preview and its exit code', async () => {
    const machine = await world.newMachine();
    const { host, login } = registries.production;
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64');
    const env = {
      ...world.gitLabEnvironment(),
      DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { [host]: { auth } } }),
    };
    const { scripts, document } = world.recipe('gitlab.md: mirror');
    const preview = await world.succeed(machine, world.recipe('gitlab.md: mirror-preview').scripts[0]!, { env });
    expect(preview.stdout).to.include('base/alpine:3.20.1');
    expect(await tagsOf(registries.production.open, 'base/alpine')).to.deep.equal([]);
    await world.succeed(machine, scripts[0]!, { env });
    expect(await tagsOf(registries.production.open, 'base/alpine')).to.deep.equal([
      '3.18.2',
      '3.19.0',
      '3.19.1',
      '3.20.0',
      '3.20.1',
    ]);
    expect(await tagsOf(registries.production.open, 'base/busybox')).to.deep.equal(['1']);
    expect(await tagsOf(registries.production.open, 'base/other')).to.deep.equal([]);
    expect(await readFile(join(machine.cwd, 'metrics.txt'), 'utf8')).to.match(/^imgtool_\w+.* \d/m);

    const file = join(machine.cwd, 'mirrors.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace('base/busybox', 'base/gone'));
    const { code } = await world.runRecipe(machine, scripts[0]!, { env });
    expect((document as { allow_failure: { exit_codes: number[] } }).allow_failure.exit_codes).to.deep.equal([code]);
  });

  it('GitHub: promote', async () => {
    const promote = world.recipe('github.md: promote');
    const { outcomes, outputs, summary } = await world.runGitHubJob(await world.newMachine(), promote);
    expect(outcomes.map(({ code, stderr }) => (code === 0 ? '' : stderr))).to.deep.equal(['', '', '']);
    await expectPromoted('github');
    const { jobs } = promote.document as { jobs: { promote: { outputs: { digest: string } } } };
    const [, name] = /^\$\{\{ (.*) \}\}$/.exec(jobs.promote.outputs.digest) ?? [];
    expect(outputs.get(name ?? '')).to.equal(registries.built);
    expect(summary).to.include(`team/app:github\` | copied | \`${registries.built}\` |`);
  });

  it('GitHub: mirror, whole, in part and not at all', async () => {
    const mirror = world.recipe('github.md: mirror');
    const machine = await world.newMachine();
    const whole = await world.runGitHubJob(machine, mirror);
    expect(whole.outcomes.at(-1)!.code, whole.outcomes.at(-1)!.stderr).to.equal(0);
    expect(whole.outcomes.at(-1)!.stdout).to.equal('');
    expect(whole.summary).to.match(/^```\n[^]*up to date[^]*\n```\n$/);
    const file = join(machine.cwd, 'mirrors.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('base/busybox', 'base/gone'));
    const part = (await world.runGitHubJob(machine, mirror)).outcomes.at(-1)!;
    expect(part.code).to.equal(0);
    expect(part.stdout).to.match(/^::warning title=imgtool sync::/);
    await writeFile(file, 'sync: nothing\n');
    expect((await world.runGitHubJob(machine, mirror)).outcomes.at(-1)!.code).to.equal(2);
  });

  it('shell: promote', async () => {
    const machine = await world.newMachine({ isInstalled: true });
    await world.logIn(machine, 'staging', 'production');
    const [source, target] = [registries.staging, registries.production].map(({ host }) => `${host}/team/app`);
    const [script] = world.recipe('shell.md: Promote by digest to another registry').scripts;
    // The tag at staging is that of the commit.
    const { stdout } = await world.succeed(machine, script!, { args: [source!, COMMIT, target!] });
    expect(stdout).to.equal(`${registries.built}\n`);
    await expectPromoted(COMMIT);
  });

  it('shell: build without a Dockerfile; the same commit gives the same digest', async () => {
    const [script] = world.recipe('shell.md: Build without a Dockerfile').scripts;
    const digests: string[] = [];
    for (const name of ['one', 'two']) {
      const machine = await world.newMachine({ isInstalled: true });
      await world.logIn(machine, 'staging');
      await mkdir(join(machine.cwd, 'site'));
      await writeFile(join(machine.cwd, 'site/index.html'), '<h1>hello</h1>\n');
      const date = '2024-05-01T12:00:00Z';
      const git = ['-c', 'user.name=me', '-c', 'user.email=me@example.org'];
      await run('git', ['init', '-q', machine.cwd]);
      await run('git', ['-C', machine.cwd, 'add', 'site']);
      await run('git', ['-C', machine.cwd, ...git, 'commit', '-qm', 'site'], { env: { GIT_COMMITTER_DATE: date } });
      const root = join(btrfsDirectory(`recipes-${name}`), 'store');
      const image = `${registries.staging.host}/team/site:${name}`;
      const env = { IMGTOOL_ROOT: root, BASE: `${registries.staging.host}/base/small:1`, IMAGE: image };
      await world.succeed(machine, script!, { env });
      digests.push((await readFile(join(machine.cwd, 'image.digest'), 'utf8')).trim());
      expect(await run(IMGTOOL, ['--root', root, 'containers', '-q'])).to.equal('');
    }
    expect(digests[0]).to.match(/^sha256:[0-9a-f]{64}$/);
    expect(digests[1]).to.equal(digests[0]);
    const inspected = await run('skopeo', [
      ...['inspect', '--config', '--tls-verify=false', `docker://${registries.staging.open.host}/team/site:one`],
    ]);
    expect((JSON.parse(inspected) as { config: object }).config).to.include({ WorkingDir: '/srv/site' });
  });

  it('Jenkins: promote', async () => {
    const machine = await world.newMachine();
    const env = {
      ...{ STAGING_USR: STAGING_LOGIN.user, STAGING_PSW: STAGING_LOGIN.password },
      ...{ PRODUCTION_USR: PRODUCTION_LOGIN.user, PRODUCTION_PSW: PRODUCTION_LOGIN.password },
      ...{ GIT_COMMIT: COMMIT, TAG_NAME: 'jenkins', WORKSPACE_TMP: join(machine.home, 'tmp') },
    };
    // Jenkins masks passwords in the trace of -x; this shell does not, and is not asked for one.
    const scripts = world
      .recipe('shell.md: Jenkins')
      .scripts.map((script) => ({ ...script, shell: ['sh', '-ec'] as const }));
    expect(scripts).to.have.length(1);
    await world.succeed(machine, scripts[0]!, { env, expressions: { 'env.WORKSPACE_TMP': env.WORKSPACE_TMP } });
    await expectPromoted('jenkins');
    expect(await readFile(join(machine.cwd, 'image.digest'), 'utf8')).to.equal(`${registries.built}\n`);
  });

  it('Tekton: promote', async () => {
    const machine = await world.newMachine();
    await world.logIn(machine, 'staging', 'production');
    const expressions = {
      'params.source': `${registries.staging.host}/team/app@${registries.built}`,
      'params.target': `${registries.production.host}/team/app:tekton`,
      'workspaces.logins.path': join(machine.home, '.docker'),
      'results.digest.path': join(machine.home, 'digest'),
    };
    for (const script of world.recipe('shell.md: promote-image').scripts)
      await world.succeed({ ...machine, home: '/nonexistent' }, script, { expressions });
    await expectPromoted('tekton');
    expect(await readFile(expressions['results.digest.path'], 'utf8')).to.equal(registries.built);
  });

  it('cron: mirror, and nothing to mail when nothing is new', async () => {
    const machine = await world.newMachine({ isInstalled: true });
    await world.logIn(machine, 'production');
    const [line, preview] = world.recipe('cron.md: Mirror nightly').scripts;
    const metrics = join(machine.home, 'node_exporter');
    await mkdir(metrics);
    const here = (text: string): string =>
      text
        .replace('/usr/local/bin', machine.path)
        .replace('/etc/imgtool/', `${machine.cwd}/`)
        .replace('/var/lib/node_exporter/', `${metrics}/`);
    const command = { ...line!, text: here(line!.text), env: { PATH: here(line!.env.PATH!) } };
    await world.succeed(machine, command);
    expect(await tagsOf(registries.production.open, 'base/debian')).to.deep.equal(['1']);
    const again = await world.succeed(machine, command);
    expect(again.stdout + again.stderr).to.equal('');
    expect(await readFile(join(metrics, 'imgtool.prom'), 'utf8')).to.include('imgtool_');
    expect((await world.succeed(machine, preview!)).stdout).to.match(/0 to copy|up to date/);
  });

  it('cron: move off protocol v1, and back', async () => {
    const machine = await world.newMachine({ isInstalled: true });
    await world.logIn(machine, 'production');
    const [forth, back] = world.recipe('cron.md: Move off protocol v1').scripts;
    await world.succeed(machine, forth!);
    expect((await world.succeed(machine, forth!)).stdout).to.include('1 up to date');
    const image = `docker://${registries.production.open.host}/moved/team/app:1`;
    const raw = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', image]);
    expect(JSON.parse(raw)).to.include({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json' });
    await world.succeed(machine, back!);
    const id = async (tag: string): Promise<unknown> =>
      (await fetch(`http://${registries.old.host}/v1/repositories/team/app/tags/${tag}`)).json();
    expect(await id('restored')).to.equal(await id('1'));
  });

  it('cron: move off schema 1', async () => {
    const machine = await world.newMachine({ isInstalled: true });
    await world.logIn(machine, 'production');
    const [move, check] = world.recipe('cron.md: Move off schema 1').scripts;
    await world.succeed(machine, move!);
    expect(await tagsOf(registries.production.open, 'team/app')).to.include.members(['1', '2']);
    expect((await world.succeed(machine, check!)).stdout).to.equal('');
    // The check finds what the old registry has.
    const text = check!.text.replaceAll(registries.production.host, registries.schema1.host);
    expect((await world.succeed(machine, { ...check!, text })).stdout.split('\n').sort()).to.deep.equal(['', '1', '2']);
  });

  it('are all run', () => {
    expect(world.names).to.deep.equal([...world.seen, ...ELSEWHERE].sort());
  });
});
