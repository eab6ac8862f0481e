import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { digestsOf } from '../helpers/artifacts.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { makeCiMachine, runScript, type CiMachine, type Outcome, type Surroundings } from '../helpers/ci-machine.js';
import {
  COMMIT,
  PRODUCTION_LOGIN,
  STAGING_LOGIN,
  startCiRegistries,
  type CiRegistries,
} from '../helpers/ci-registries.js';
import { IMGTOOL, type Served } from '../helpers/imgtool.js';
import { codeBlocks, readRecipes, type Recipe, type RecipeBook, type RecipeScript } from '../helpers/recipes.js';
import { run } from '../helpers/run.js';

const PAGES = 'docs/ci';

describe('the recipes of docs/ci', () => {
  let directory: string;
  let registries: CiRegistries;
  let book: RecipeBook;
  const seen = new Set<string>();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-recipes-'));
    registries = await startCiRegistries(directory);
    const pages = (await readdir(PAGES)).filter((name) => name.endsWith('.md')).sort();
    const texts = await Promise.all(pages.map((page) => readFile(join(PAGES, page), 'utf8')));
    book = readRecipes(pages.flatMap((page, i) => codeBlocks(page, withHosts(texts[i]!))));
  });
  after(async () => {
    await registries.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** The hosts of the pages are registries of this test. */
  function withHosts(text: string): string {
    const { staging, production, upstream, old, schema1 } = registries;
    const hosts = {
      'ghcr.io': staging.host,
      'staging.example': staging.host,
      'registry.example': production.host,
      'upstream.example': upstream.host,
      'old.example': old.host,
      'schema1.example': schema1.host,
    };
    return Object.entries(hosts).reduce((all, [name, host]) => all.replaceAll(name, host), text);
  }

  const recipe = (name: string): Recipe => {
    seen.add(name);
    const found = book.recipes.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no recipe "${name}"; there are: ${namesOf(book).join(', ')}`);
    return found;
  };

  const newMachine = (options: { readonly isInstalled?: boolean } = {}): Promise<CiMachine> =>
    makeCiMachine(directory, book.files, options);

  /** Runs a script; no output may hold a password. */
  async function runRecipe(machine: CiMachine, script: RecipeScript, surroundings?: Surroundings): Promise<Outcome> {
    const outcome = await runScript(machine, script, surroundings);
    for (const { password } of [STAGING_LOGIN, PRODUCTION_LOGIN])
      expect(outcome.stdout + outcome.stderr).to.not.include(password);
    return outcome;
  }

  async function succeed(machine: CiMachine, script: RecipeScript, surroundings?: Surroundings): Promise<Outcome> {
    const outcome = await runRecipe(machine, script, surroundings);
    expect(outcome.code, outcome.stderr).to.equal(0);
    return outcome;
  }

  /** Stores logins in the home of a machine, as its owner did once. */
  async function logIn(machine: CiMachine, ...names: readonly ('staging' | 'production')[]): Promise<void> {
    for (const { host, login } of names.map((name) => registries[name]))
      await succeed(machine, {
        shell: ['sh', '-ec'],
        text: `printf '%s' "$PASSWORD" | ${IMGTOOL} login ${host} --username ${login.user} --password-stdin`,
        env: { PASSWORD: login.password },
      });
  }

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

  const gitLabEnvironment = (): Record<string, string> => ({
    CI_REGISTRY: registries.staging.host,
    CI_REGISTRY_USER: STAGING_LOGIN.user,
    CI_REGISTRY_PASSWORD: STAGING_LOGIN.password,
    CI_REGISTRY_IMAGE: `${registries.staging.host}/team/app`,
    CI_COMMIT_SHORT_SHA: COMMIT,
  });

  it('GitLab: promote', async () => {
    const machine = await newMachine();
    const target = `${registries.production.host}/team/app`;
    await succeed(machine, recipe('gitlab.md: promote').scripts[0]!, {
      env: {
        ...gitLabEnvironment(),
        ...{ CI_COMMIT_TAG: 'gitlab', PRODUCTION_IMAGE: target },
        ...{ PRODUCTION_USER: PRODUCTION_LOGIN.user, PRODUCTION_PASSWORD: PRODUCTION_LOGIN.password },
      },
    });
    await expectPromoted('gitlab');
    expect(await readFile(join(machine.cwd, 'promote.env'), 'utf8')).to.equal(`IMAGE=${target}@${registries.built}\n`);
  });

  it('GitLab: mirror, its preview and its exit code', async () => {
    const machine = await newMachine();
    await logIn(machine, 'production');
    const { scripts, document } = recipe('gitlab.md: mirror');
    const preview = await succeed(machine, recipe('gitlab.md: mirror-preview').scripts[0]!, {
      env: gitLabEnvironment(),
    });
    expect(preview.stdout).to.include('base/alpine:3.20.1');
    expect(await tagsOf(registries.production.open, 'base/alpine')).to.deep.equal([]);
    await succeed(machine, scripts[0]!, { env: gitLabEnvironment() });
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
    const { code } = await runRecipe(machine, scripts[0]!, { env: gitLabEnvironment() });
    expect((document as { allow_failure: { exit_codes: number[] } }).allow_failure.exit_codes).to.deep.equal([code]);
  });

  const gitHubExpressions = (): Record<string, string> => ({
    'secrets.GITHUB_TOKEN': STAGING_LOGIN.password,
    'secrets.PRODUCTION_PASSWORD': PRODUCTION_LOGIN.password,
    'vars.PRODUCTION_USER': PRODUCTION_LOGIN.user,
    'github.event.release.tag_name': 'github',
  });

  /** Runs the steps of a job; resolves with the outputs of each, and the summary. */
  async function runGitHubJob(
    machine: CiMachine,
    { scripts }: Recipe,
  ): Promise<{ outcomes: Outcome[]; outputs: Map<string, string>; summary: string }> {
    const outputs = new Map<string, string>();
    const outcomes: Outcome[] = [];
    const summary = join(machine.home, 'summary');
    for (const script of scripts) {
      const file = join(machine.home, randomUUID());
      await writeFile(file, '');
      const env = {
        ...{ GITHUB_ACTOR: STAGING_LOGIN.user, GITHUB_REPOSITORY: 'Team/App', GITHUB_SHA: COMMIT },
        ...{ GITHUB_OUTPUT: file, GITHUB_STEP_SUMMARY: summary },
      };
      outcomes.push(await runRecipe(machine, script, { env, expressions: gitHubExpressions() }));
      for (const [, key, value] of (await readFile(file, 'utf8')).matchAll(/^(\w+)=(.*)$/gm))
        outputs.set(`steps.${script.id}.outputs.${key}`, value!);
      if (outcomes.at(-1)!.code !== 0) break;
    }
    return { outcomes, outputs, summary: await readFile(summary, 'utf8').catch(() => '') };
  }

  it('GitHub: promote', async () => {
    const promote = recipe('github.md: promote');
    const { outcomes, outputs, summary } = await runGitHubJob(await newMachine(), promote);
    expect(outcomes.map(({ code, stderr }) => (code === 0 ? '' : stderr))).to.deep.equal(['', '', '']);
    await expectPromoted('github');
    const { jobs } = promote.document as { jobs: { promote: { outputs: { digest: string } } } };
    const [, name] = /^\$\{\{ (.*) \}\}$/.exec(jobs.promote.outputs.digest) ?? [];
    expect(outputs.get(name ?? '')).to.equal(registries.built);
    expect(summary).to.include(`team/app:github\` as \`${registries.built}\``);
  });

  it('GitHub: mirror, whole, in part and not at all', async () => {
    const mirror = recipe('github.md: mirror');
    const machine = await newMachine();
    const whole = await runGitHubJob(machine, mirror);
    expect(whole.outcomes.at(-1)!.code, whole.outcomes.at(-1)!.stderr).to.equal(0);
    expect(whole.outcomes.at(-1)!.stdout).to.equal('');
    expect(whole.summary).to.match(/^```\n[^]*up to date[^]*\n```\n$/);
    const file = join(machine.cwd, 'mirrors.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('base/busybox', 'base/gone'));
    const part = (await runGitHubJob(machine, mirror)).outcomes.at(-1)!;
    expect(part.code).to.equal(0);
    expect(part.stdout).to.match(/^::warning title=imgtool sync::/);
    await writeFile(file, 'sync: nothing\n');
    expect((await runGitHubJob(machine, mirror)).outcomes.at(-1)!.code).to.equal(2);
  });

  it('shell: promote', async () => {
    const machine = await newMachine({ isInstalled: true });
    await logIn(machine, 'staging', 'production');
    const [source, target] = [registries.staging, registries.production].map(({ host }) => `${host}/team/app`);
    const [script] = recipe('shell.md: Promote by digest to another registry').scripts;
    // The tag at staging is that of the commit.
    const { stdout } = await succeed(machine, script!, { args: [source!, COMMIT, target!] });
    expect(stdout).to.equal(`${registries.built}\n`);
    await expectPromoted(COMMIT);
  });

  it('shell: build without a Dockerfile; the same commit gives the same digest', async () => {
    const [script] = recipe('shell.md: Build without a Dockerfile').scripts;
    const digests: string[] = [];
    for (const name of ['one', 'two']) {
      const machine = await newMachine({ isInstalled: true });
      await logIn(machine, 'staging');
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
      await succeed(machine, script!, { env });
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
    const machine = await newMachine();
    const env = {
      ...{ STAGING_USR: STAGING_LOGIN.user, STAGING_PSW: STAGING_LOGIN.password },
      ...{ PRODUCTION_USR: PRODUCTION_LOGIN.user, PRODUCTION_PSW: PRODUCTION_LOGIN.password },
      ...{ GIT_COMMIT: COMMIT, TAG_NAME: 'jenkins', WORKSPACE_TMP: join(machine.home, 'tmp') },
    };
    // Jenkins masks passwords in the trace of -x; this shell does not, and is not asked for one.
    const scripts = recipe('shell.md: Jenkins').scripts.map((script) => ({ ...script, shell: ['sh', '-ec'] as const }));
    expect(scripts).to.have.length(1);
    await succeed(machine, scripts[0]!, { env, expressions: { 'env.WORKSPACE_TMP': env.WORKSPACE_TMP } });
    await expectPromoted('jenkins');
    expect(await readFile(join(machine.cwd, 'image.digest'), 'utf8')).to.equal(`${registries.built}\n`);
  });

  it('Tekton: promote', async () => {
    const machine = await newMachine();
    await logIn(machine, 'staging', 'production');
    const expressions = {
      'params.source': `${registries.staging.host}/team/app@${registries.built}`,
      'params.target': `${registries.production.host}/team/app:tekton`,
      'workspaces.logins.path': join(machine.home, '.docker'),
      'results.digest.path': join(machine.home, 'digest'),
    };
    for (const script of recipe('shell.md: promote-image').scripts)
      await succeed({ ...machine, home: '/nonexistent' }, script, { expressions });
    await expectPromoted('tekton');
    expect(await readFile(expressions['results.digest.path'], 'utf8')).to.equal(registries.built);
  });

  it('cron: mirror, and nothing to mail when nothing is new', async () => {
    const machine = await newMachine({ isInstalled: true });
    await logIn(machine, 'production');
    const [line, preview] = recipe('cron.md: Mirror nightly').scripts;
    const metrics = join(machine.home, 'node_exporter');
    await mkdir(metrics);
    const here = (text: string): string =>
      text
        .replace('/usr/local/bin', machine.path)
        .replace('/etc/imgtool/', `${machine.cwd}/`)
        .replace('/var/lib/node_exporter/', `${metrics}/`);
    const command = { ...line!, text: here(line!.text), env: { PATH: here(line!.env.PATH!) } };
    await succeed(machine, command);
    expect(await tagsOf(registries.production.open, 'base/debian')).to.deep.equal(['1']);
    const again = await succeed(machine, command);
    expect(again.stdout + again.stderr).to.equal('');
    expect(await readFile(join(metrics, 'imgtool.prom'), 'utf8')).to.include('imgtool_');
    expect((await succeed(machine, preview!)).stdout).to.match(/0 to copy|up to date/);
  });

  it('cron: move off protocol v1, and back', async () => {
    const machine = await newMachine({ isInstalled: true });
    await logIn(machine, 'production');
    const [forth, back] = recipe('cron.md: Move off protocol v1').scripts;
    await succeed(machine, forth!);
    expect((await succeed(machine, forth!)).stdout).to.include('1 up to date');
    const image = `docker://${registries.production.open.host}/moved/team/app:1`;
    const raw = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', image]);
    expect(JSON.parse(raw)).to.include({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json' });
    await succeed(machine, back!);
    const id = async (tag: string): Promise<unknown> =>
      (await fetch(`http://${registries.old.host}/v1/repositories/team/app/tags/${tag}`)).json();
    expect(await id('restored')).to.equal(await id('1'));
  });

  it('cron: move off schema 1', async () => {
    const machine = await newMachine({ isInstalled: true });
    await logIn(machine, 'production');
    const [move, check] = recipe('cron.md: Move off schema 1').scripts;
    await succeed(machine, move!);
    expect(await tagsOf(registries.production.open, 'team/app')).to.include.members(['1', '2']);
    expect((await succeed(machine, check!)).stdout).to.equal('');
    // The check finds what the old registry has.
    const text = check!.text.replaceAll(registries.production.host, registries.schema1.host);
    expect((await succeed(machine, { ...check!, text })).stdout.split('\n').sort()).to.deep.equal(['', '1', '2']);
  });

  it('are all run here', () => {
    expect(namesOf(book)).to.deep.equal([...seen].sort());
  });
});

function namesOf({ recipes }: RecipeBook): string[] {
  return recipes.map(({ name }) => name).sort();
}
