import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import type { CiMachine } from '../helpers/ci-machine.js';
import { COMMIT, type CiRegistries } from '../helpers/ci-registries.js';
import { BUILD_RECIPES, RecipeWorld } from '../helpers/recipe-world.js';
import { run } from '../helpers/run.js';

interface Manifest {
  readonly layers: readonly { readonly digest: string }[];
}

describe('the recipes of docs/ci that build', () => {
  let world: RecipeWorld;
  let registries: CiRegistries;

  before(async () => {
    world = await RecipeWorld.open();
    registries = world.registries;
  });
  after(() => world.close());

  /** A machine with a checkout and a store of its own; the times of the files are those of the checkout. */
  async function newCheckout(dockerfile: string): Promise<CiMachine & { readonly env: Record<string, string> }> {
    const machine = await world.newMachine({ isInstalled: true });
    await mkdir(join(machine.cwd, 'site'));
    await writeFile(join(machine.cwd, 'site/index.html'), '<h1>hello</h1>\n');
    await writeFile(join(machine.cwd, 'Dockerfile'), `FROM ${registries.staging.host}/base/small:1\n${dockerfile}`);
    const git = ['-C', machine.cwd, '-c', 'user.name=me', '-c', 'user.email=me@example.org'];
    await run('git', ['init', '-q', machine.cwd]);
    await run('git', [...git, 'add', 'site', 'Dockerfile']);
    const date = { GIT_COMMITTER_DATE: '2024-05-01T12:00:00Z' };
    await run('git', [...git, 'commit', '-qm', 'site'], { env: date });
    return { ...machine, env: { IMGTOOL_ROOT: join(btrfsDirectory('recipes'), 'store') } };
  }

  const WITHOUT_RUN = 'COPY site /srv/site\n';
  const WITH_RUN = `${WITHOUT_RUN}RUN ["/bin/sh", "-c", "ls /srv/site >/srv/site/list; echo $$ >>/srv/site/list"]\n`;

  async function manifestOf(reference: string): Promise<Manifest> {
    const [repository, version] = reference.replace(/^[^/]*\//, '').split(/[:@](.*)/) as [string, string];
    const answer = await fetch(`http://${registries.staging.open.host}/v2/${repository}/manifests/${version}`);
    return (await answer.json()) as Manifest;
  }

  for (const [kind, dockerfile] of [
    ['without RUN', WITHOUT_RUN],
    ['with RUN', WITH_RUN],
  ] as const)
    it(`GitLab: build ${kind}; a second machine takes the steps from the cache`, async () => {
      const [script] = world.recipe('gitlab.md: build').scripts;
      const layers: string[][] = [];
      for (let i = 0; i < 2; i++) {
        const machine = await newCheckout(dockerfile);
        await world.succeed(machine, script!, { env: { ...world.gitLabEnvironment(), ...machine.env } });
        const [, image = ''] = /^IMAGE=(.*@sha256:[0-9a-f]{64})\n$/.exec(
          await readFile(join(machine.cwd, 'build.env'), 'utf8'),
        )!;
        layers.push((await manifestOf(image)).layers.map(({ digest }) => digest));
      }
      // Times of files, and the process ID that RUN writes, make every layer that is built again another one.
      expect(layers[1]).to.deep.equal(layers[0]);
    });

  it('GitLab: build; the reports show lint warnings, steps and size', async () => {
    const machine = await newCheckout(`COPY site /srv/site\nRUN ["/bin/sh", "-c", "exit 3"]\nMAINTAINER me\n`);
    const [script] = world.recipe('gitlab.md: build').scripts;
    const env = { ...world.gitLabEnvironment(), ...machine.env };
    const report = (name: string): Promise<string> => readFile(join(machine.cwd, name), 'utf8');
    const failed = await world.runRecipe(machine, script!, { env });
    expect(failed.code).to.equal(1);
    expect(await report('junit.xml')).to.match(/tests="1" failures="1"[^]* file="Dockerfile" line="3"><failure /);
    const issues = JSON.parse(await report('codequality.json')) as Record<string, unknown>[];
    expect(issues).to.have.lengthOf(1);
    expect(issues[0]).to.deep.include({ severity: 'blocker', location: { path: 'Dockerfile', lines: { begin: 3 } } });
    expect(await report('metrics.txt')).to.match(/^imgtool_success\{command="build"\} 0\n/m);

    const dockerfile = await report('Dockerfile');
    await writeFile(join(machine.cwd, 'Dockerfile'), dockerfile.replace('exit 3', 'exit 0'));
    await world.succeed(machine, script!, { env });
    expect(await report('junit.xml')).to.match(/tests="2" failures="0"[^]* name="COPY site \/srv\/site"/);
    expect(await report('codequality.json')).to.match(/"check_name": "MaintainerDeprecated"/);
    expect(await report('metrics.txt')).to.match(
      /^imgtool_image_size_bytes\{.*repository="[^"]*team\/app"\} \d{4,}\n/m,
    );
  });

  it('GitLab: build with the options of kaniko', async () => {
    const machine = await newCheckout(WITH_RUN);
    const [script] = world.recipe('gitlab.md: build-as-with-kaniko').scripts;
    const more = { CI_PROJECT_DIR: machine.cwd, CI_COMMIT_REF_SLUG: 'kaniko' };
    await world.succeed(machine, script!, { env: { ...world.gitLabEnvironment(), ...machine.env, ...more } });
    expect((await manifestOf(`${registries.staging.host}/team/app:kaniko`)).layers).to.have.length.above(4);
  });

  it('GitHub: build', async () => {
    const machine = await newCheckout(WITH_RUN);
    const build = world.recipe('github.md: build');
    const scripts = build.scripts.map((script) => ({ ...script, env: { ...machine.env, ...script.env } }));
    const { outcomes, outputs, summary } = await world.runGitHubJob(machine, { ...build, scripts });
    expect(outcomes.map(({ code, stderr }) => (code === 0 ? '' : stderr))).to.deep.equal(outcomes.map(() => ''));
    const digest = outputs.get('steps.build.outputs.digest');
    expect(summary).to.include(`team/app:${COMMIT}\` | built and pushed | \`${digest}\` |`);
    const image = `docker://${registries.staging.open.host}/team/app:${COMMIT}`;
    const inspected = JSON.parse(await run('skopeo', ['inspect', '--tls-verify=false', image])) as {
      readonly Digest: string;
      readonly Labels: Readonly<Record<string, string>>;
    };
    expect(inspected.Digest).to.equal(digest);
    expect(inspected.Labels).to.include({ 'org.opencontainers.image.revision': COMMIT });
  });

  it('shell: build; the same digest on every machine', async () => {
    const [script] = world.recipe('shell.md: Build and push with a remote cache').scripts;
    const digests: string[] = [];
    for (const name of ['one', 'two']) {
      const machine = await newCheckout(WITHOUT_RUN);
      await world.logIn(machine, 'staging');
      const args = [`${registries.staging.host}/team/${name}:1`];
      digests.push((await world.succeed(machine, script!, { env: machine.env, args })).stdout.trim());
    }
    expect(digests[0]).to.match(/^sha256:[0-9a-f]{64}$/);
    expect(digests[1]).to.equal(digests[0]);
  });

  it('are all run', () => {
    expect([...world.seen].sort()).to.deep.equal([...BUILD_RECIPES]);
  });
});
