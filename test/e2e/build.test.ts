import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { BuildStepError, DockerfileError, NotFoundError, UsageError } from '../../lib/errors.js';
import { Imgtool, type BuildOptions, type BuiltImage } from '../../lib/imgtool/index.js';
import type { StepEvent } from '../../lib/progress/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool as program } from '../helpers/imgtool.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';

interface Config {
  readonly created: string;
  readonly config: Record<string, unknown>;
  readonly history: readonly {
    readonly created_by: string;
    readonly empty_layer?: boolean;
    readonly comment: string;
  }[];
}

describe('build', function () {
  this.timeout(180_000);
  let directory: string;
  let context: string;
  let root: string;
  let imgtool: Imgtool;
  const events: StepEvent[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-build-'));
    context = join(directory, 'context');
    await mkdir(context);
    await writeSmallImage(join(directory, 'layout'));
    root = join(btrfsDirectory('build'), 'store');
    imgtool = new Imgtool({ root, onStep: (event) => events.push(event) });
    await imgtool.copy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, ['store:base:1']);
    await writeFile(join(context, 'file'), 'content\n');
  });
  after(async () => {
    await imgtool.close();
    await rm(directory, { recursive: true, force: true });
  });

  const build = (dockerfile: string, options: BuildOptions = {}): Promise<BuiltImage> =>
    imgtool.build(context, { dockerfile, ...options });
  const configOf = async (id: string): Promise<Config> => {
    const { config } = await imgtool.inspect(id, { type: 'image' });
    return JSON.parse(Buffer.from(config).toString()) as Config;
  };
  /** A file of the image. */
  const read = async (id: string, path: string): Promise<string> => {
    const box = await imgtool.create(id);
    try {
      return await readFile(join(await imgtool.mount(box.id), path), 'utf8');
    } finally {
      await imgtool.rm(box.id);
    }
  };
  const cached = ({ steps }: BuiltImage): boolean[] => steps.map((step) => step.cached);
  const leftovers = (): string[] =>
    ['work', 'run', 'trash'].flatMap((name) => (existsSync(join(root, name)) ? readdirSync(join(root, name)) : []));

  it('runs each instruction once, and writes config and history as BuildKit does', async () => {
    const dockerfile = [
      'FROM base:1',
      'ARG V=1',
      'ENV A=$V',
      'WORKDIR /w',
      'COPY file .',
      'RUN echo "$A $V" >out',
      'CMD ["cat", "out"]',
    ].join('\n');
    const first = await build(dockerfile, { tags: ['first:1', 'first:2'], labels: ['l=1'] });
    expect(first.names).to.deep.equal(['docker.io/library/first:1', 'docker.io/library/first:2']);
    expect(cached(first)).to.deep.equal([false, false, false]);
    expect(await read(first.id, 'w/out')).to.equal('1 1\n');
    const { config, history } = await configOf(first.id);
    expect(config.Env).to.deep.equal(['PATH=/bin:/usr/bin', 'A=1']);
    expect(config.WorkingDir).to.equal('/w');
    expect(config.Labels).to.deep.equal({ purpose: 'test', l: '1' });
    const own = history.slice(-6);
    expect(own.map((entry) => entry.created_by)).to.deep.equal([
      'ARG V=1',
      'ENV A=1',
      'WORKDIR /w',
      'COPY file . # buildkit',
      'RUN |1 V=1 /bin/sh -c echo "$A $V" >out # buildkit',
      'CMD ["cat" "out"]',
    ]);
    expect(own.map((entry) => entry.empty_layer ?? false)).to.deep.equal([true, true, false, false, false, true]);
    const second = await build(dockerfile, { tags: ['first:1'], labels: ['l=1'] });
    expect(cached(second)).to.deep.equal([true, true, true]);
    expect(second.id).to.equal(first.id);
    expect(second.layers.every(({ state }) => state === 'present')).to.equal(true);
  });

  it('takes a step again whose files were only touched, and runs it again when one was changed', async () => {
    const dockerfile = 'FROM scratch\nCOPY file /a\nCOPY file /b\n';
    await build(dockerfile);
    await utimes(join(context, 'file'), 1, 1);
    expect(cached(await build(dockerfile))).to.deep.equal([true, true]);
    await writeFile(join(context, 'file'), 'changed\n');
    const changed = await build(dockerfile, { explain: true });
    expect(cached(changed)).to.deep.equal([false, false]);
    expect(changed.steps[0]!.missed).to.deep.equal(['files']);
    expect(await read(changed.id, 'b')).to.equal('changed\n');
  });

  it('says which argument made a step miss, and takes no notice of proxies', async () => {
    const dockerfile = 'FROM base:1\nARG A\nRUN echo $A$HTTP_PROXY >/out\n';
    await build(dockerfile, { buildArgs: ['A=1', 'HTTP_PROXY=x'] });
    expect(cached(await build(dockerfile, { buildArgs: ['A=1', 'HTTP_PROXY=y'] }))).to.deep.equal([true]);
    const other = await build(dockerfile, { buildArgs: ['A=2'], explain: true });
    expect(other.steps[0]!.missed).to.deep.equal(['env A']);
  });

  it('builds only what the target needs, and independent stages at the same time', async () => {
    events.length = 0;
    const dockerfile = [
      'FROM base:1 AS unused',
      'RUN false',
      'FROM base:1 AS one',
      'RUN sleep 2; echo 1 >/1',
      'FROM base:1 AS two',
      'RUN sleep 2; echo 2 >/2',
      'FROM scratch',
      'COPY --from=one /1 /',
      'COPY --from=two /2 /',
    ].join('\n');
    const { id } = await build(dockerfile);
    expect(await read(id, '2')).to.equal('2\n');
    const runs = events.filter(({ text }) => text.startsWith('RUN')).map(({ state }) => state);
    expect(runs).to.deep.equal(['active', 'active', 'done', 'done']);
  });

  it('gives secrets, caches, tmpfs and files of the context to RUN, and keeps none of them', async () => {
    const secret = 'very-secret-value';
    await writeFile(join(directory, 'secret'), secret);
    const mounts = [
      '--mount=type=secret,id=s',
      '--mount=type=secret,id=s,env=TOKEN',
      '--mount=type=cache,target=/cache',
      '--mount=type=tmpfs,target=/scratch',
      '--mount=type=bind,target=/src,rw',
    ];
    const script = [
      'wc -c </run/secrets/s >/length',
      'echo $TOKEN | wc -c >>/length',
      'echo $TOKEN',
      'echo x >>/cache/count',
      'cat /cache/count >/count',
      'echo y >/scratch/y',
      'cat /src/file >/seen; echo z >/src/z',
    ].join(' && ');
    const dockerfile = `FROM base:1\nRUN ${mounts.join(' ')} ${script.replaceAll('wc -c', 'cat')}\n`
      .replace('cat </run/secrets/s >/length', 'test -s /run/secrets/s')
      .replace('echo $TOKEN | cat >>/length', 'test -n "$TOKEN"');
    events.length = 0;
    const options = { secrets: [`id=s,src=${join(directory, 'secret')}`] };
    const first = await build(dockerfile, options);
    const second = await build(dockerfile, { ...options, noCache: true });
    expect(await read(first.id, 'count')).to.equal('x\n');
    expect(await read(second.id, 'count')).to.equal('x\nx\n');
    expect(await read(first.id, 'seen')).to.equal('changed\n');
    const box = await imgtool.create(first.id);
    const files = await imgtool.mount(box.id);
    for (const name of ['cache', 'scratch', 'src', 'run/secrets'])
      expect(existsSync(join(files, name)), name).to.equal(false);
    await imgtool.rm(box.id);
    expect(existsSync(join(context, 'z'))).to.equal(false);
    expect(JSON.stringify(events)).to.include('***').and.not.include(secret);
    for (const name of ['steps', 'caches', 'images'])
      for (const file of readdirSync(join(root, name)))
        expect(readFileSync(join(root, name, file), 'utf8'), file).not.to.include(secret);
    expect(readdirSync('/dev/shm').filter((name) => name.startsWith('imgtool-'))).to.deep.equal([]);
  });

  it('runs heredocs as scripts, by their own interpreter too, and copies them', async () => {
    const dockerfile = [
      'FROM base:1',
      'RUN <<EOF',
      'echo one >/1',
      'EOF',
      'RUN <<EOF',
      '#!/bin/sh',
      'echo $0 >/2',
      'EOF',
      'ENV X=y',
      'COPY <<EOF /3',
      '$X',
      'EOF',
    ].join('\n');
    const { id } = await build(dockerfile);
    expect([await read(id, '1'), await read(id, '2'), await read(id, '3')]).to.deep.equal([
      'one\n',
      '/dev/pipes/EOF\n',
      'y\n',
    ]);
  });

  it('ends with the line, the exit code and the last output of a RUN that fails, and keeps its files when asked', async () => {
    const dockerfile = 'FROM base:1\nRUN echo kept >/kept; echo said; exit 3\n';
    const error = await rejection(build(dockerfile, { keepFailed: true }));
    expect(error).to.be.instanceOf(BuildStepError);
    const { line, status, output, text } = error as BuildStepError;
    expect({ line, status, output, text }).to.deep.equal({
      line: 2,
      status: 3,
      output: ['said'],
      text: 'RUN echo kept >/kept; echo said; exit 3',
    });
    const [box] = (await imgtool.containers()).filter(({ names }) => names[0]!.startsWith('failed_'));
    expect(await readFile(join(await imgtool.mount(box!.id), 'kept'), 'utf8')).to.equal('kept\n');
    await imgtool.rm(box!.id);
    expect(leftovers()).to.deep.equal([]);
  });

  for (const [title, dockerfile, type, message] of [
    ['no instruction', '# nothing\n', DockerfileError, 'the file has no instructions'],
    ['an unknown instruction', 'FROM scratch\nCPOY a b\n', DockerfileError, 'CPOY'],
    ['an unknown stage', 'FROM scratch\nCOPY --from=3 a b\n', DockerfileError, 'there is no stage 3'],
    ['a missing source', 'FROM scratch\nCOPY missing /\n', DockerfileError, 'missing is not in the build context'],
    ['what is no URL', 'FROM scratch\nADD http:// /\n', DockerfileError, '"http://" is no URL'],
    ['a URL with a wrong escape', 'FROM scratch\nADD http://localhost:1/%zz /\n', DockerfileError, 'is no URL'],
    ['an image that is not there', 'FROM localhost:1/nothing\nRUN x\n', Error, 'localhost:1'],
    [
      'a secret that is required',
      'FROM base:1\nRUN --mount=type=secret,id=s,required true\n',
      DockerfileError,
      'required',
    ],
    ['a mount at /', 'FROM base:1\nRUN --mount=type=tmpfs,target=/ true\n', DockerfileError, '/'],
    ['a program that is not there', 'FROM base:1\nRUN ["/nothing"]\n', BuildStepError, 'there is no /nothing'],
  ] as const)
    it(`refuses ${title}`, async () => {
      const error = (await rejection(build(dockerfile))) as Error;
      expect(error).to.be.instanceOf(type);
      expect(error.message).to.include(message);
      expect(leftovers()).to.deep.equal([]);
    });

  it('refuses an unknown target, and a context or Dockerfile that is not there', async () => {
    expect(await rejection(build('FROM scratch AS one\n', { target: 'on' }))).to.be.instanceOf(DockerfileError);
    expect(await rejection(imgtool.build(join(directory, 'nothing')))).to.be.instanceOf(NotFoundError);
    expect(await rejection(imgtool.build(context))).to.be.instanceOf(NotFoundError);
    expect(await rejection(build('FROM scratch\n', { push: true }))).to.be.instanceOf(UsageError);
  });

  it('gives the same image with SOURCE_DATE_EPOCH in two stores', async () => {
    const dockerfile = 'FROM scratch\nWORKDIR /a/b\nCOPY file .\nCOPY <<EOF /x/y\nz\nEOF\n';
    const ids: string[] = [];
    for (const name of ['one', 'two']) {
      const other = new Imgtool({
        root: join(btrfsDirectory(`build-${name}`), 'store'),
        env: { ...process.env, SOURCE_DATE_EPOCH: '1000000000' },
      });
      ids.push((await other.build(context, { dockerfile })).digest);
      await other.close();
    }
    expect(ids[0]).to.equal(ids[1]);
  });

  it('squashes its steps, and writes archives, tars and directories', async () => {
    const out = join(directory, 'out');
    const dockerfile = 'FROM base:1\nCOPY file /one\nRUN rm /one && echo 2 >/two\n';
    const result = await build(dockerfile, {
      squash: true,
      outputs: [out, `type=oci,dest=${out}.oci`, `type=docker,dest=${out}.docker`, `type=tar,dest=${out}.tar`],
    });
    const { layers } = await build('FROM base:1\n');
    expect(result.layers).to.have.length(layers.length + 1);
    expect(await readFile(join(out, 'two'), 'utf8')).to.equal('2\n');
    expect(existsSync(join(out, 'one'))).to.equal(false);
    expect(await run('tar', ['-xOf', `${out}.tar`, 'two'])).to.equal('2\n');
    for (const kind of ['oci', 'docker'])
      expect(
        await run('skopeo', ['inspect', '--format', '{{len .Layers}}', `${kind}-archive:${out}.${kind}`]),
      ).to.equal(`${result.layers.length}\n`);
  });

  it('forgets old steps and caches by budget, and whole branches only', async () => {
    await build('FROM scratch\nCOPY file /gc\nCOPY file /gc2\n');
    const before = await imgtool.storeDf();
    expect(before.buildCache.steps).to.be.greaterThan(1);
    expect(before.buildCache.mounts).to.equal(1);
    const garbage = await imgtool.storeGc({ keepCache: 0 });
    expect(garbage.steps).to.have.length.at.least(2);
    expect(garbage.caches.map(({ id }) => id)).to.deep.equal(['/cache']);
    const { buildCache } = await imgtool.storeDf();
    expect(buildCache).to.deep.equal({ steps: 0, stepSize: 0, mounts: 0, mountSize: 0 });
    expect((await imgtool.storeFsck()).findings).to.deep.equal([]);
    expect(cached(await build('FROM scratch\nCOPY file /gc\nCOPY file /gc2\n'))).to.deep.equal([false, false]);
  });

  it('leaves nothing that store gc does not find when it is killed, and finished steps stay', async () => {
    const file = join(directory, 'Dockerfile.kill');
    await writeFile(file, 'FROM base:1\nRUN echo 1 >/1\nRUN --mount=type=cache,target=/k sleep 100\n');
    const child = spawn(IMGTOOL, ['--root', root, '--progress', 'plain', 'build', '-f', file, context], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise<void>((resolve) => {
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('sleep 100')) setTimeout(resolve, 1500);
      });
    });
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    await imgtool.storeGc();
    expect(leftovers()).to.deep.equal([]);
    expect(await run('sh', ['-c', 'ps ax | grep -c "[s]leep 100" || true'])).to.equal('0\n');
    const again = await imgtool.build(context, { dockerfile: 'FROM base:1\nRUN echo 1 >/1\n' });
    expect(cached(again)).to.deep.equal([true]);
  });

  it('prints the ID alone, with files for it; kaniko’s names do the same', async () => {
    const file = join(directory, 'Dockerfile.cli');
    await writeFile(file, 'FROM scratch\nCOPY file /\n');
    const iidfile = join(directory, 'iid');
    const id = await program(root, 'build', '-f', file, '-t', 'cli:1', '--iidfile', iidfile, context);
    expect(await readFile(iidfile, 'utf8')).to.equal(id);
    const kaniko = ['--context', `dir://${context}`, '--dockerfile', file, '--destination', 'cli:2', '--no-push'];
    expect(await program(root, 'build', ...kaniko)).to.equal(id);
    expect(await program(root, 'inspect', 'cli:2', '--json')).to.include(id);
  });
});
