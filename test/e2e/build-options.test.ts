import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { BuildStepError, DockerfileError, NotFoundError } from '../../lib/errors.js';
import { Imgtool, type BuildOptions, type BuiltImage } from '../../lib/imgtool/index.js';
import type { StepEvent } from '../../lib/progress/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool as program, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { smallImage, SMALL_IMAGE_TAG } from '../helpers/small-image.js';

describe('options of build', function () {
  this.timeout(180_000);
  let directory: string;
  let context: string;
  let root: string;
  let imgtool: Imgtool;
  let served: Served;
  const events: StepEvent[] = [];
  const children: ChildProcess[] = [];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-build-options-'));
    context = join(directory, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'file'), 'content\n');
    const image = smallImage(readFileSync('/bin/busybox'));
    const marked = (mark: string) => [...image.layers, { entries: [{ path: 'mark', content: mark }] }];
    await writeOciLayout(join(directory, 'layout'), [
      image,
      { ...image, tag: 'one', layers: marked('one') },
      { ...image, tag: 'two', layers: marked('two') },
    ]);
    root = join(btrfsDirectory('build-options'), 'store');
    imgtool = new Imgtool({ root, onStep: (event) => events.push(event) });
    served = await startServe(join(directory, 'registry'));
    await imgtool.copy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, ['store:base:1']);
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await imgtool.close();
    await served.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const build = (dockerfile: string, options: BuildOptions = {}): Promise<BuiltImage> =>
    imgtool.build(context, { dockerfile, ...options });
  const read = async (id: string, path: string): Promise<string> => {
    const box = await imgtool.create(id);
    try {
      return readFileSync(join(await imgtool.mount(box.id), path), 'utf8');
    } finally {
      await imgtool.rm(box.id);
    }
  };
  const leftovers = (): string[] =>
    ['work', 'run', 'trash'].flatMap((name) => (existsSync(join(root, name)) ? readdirSync(join(root, name)) : []));
  const fileWith = (text: string): string => {
    const path = join(directory, `Dockerfile-${readdirSync(directory).length}`);
    writeFileSync(path, text);
    return path;
  };

  it('--ulimit limits RUN, and is part of its key', async () => {
    const dockerfile = 'FROM base:1\nRUN ulimit -n >/n; ulimit -Hn >>/n; ulimit -c >>/n\n';
    const first = await build(dockerfile, { ulimits: ['nofile=123:456', 'core=0'] });
    expect(await read(first.id, 'n')).to.equal('123\n456\n0\n');
    const second = await build(dockerfile, { ulimits: ['nofile=124:456', 'core=0'], explain: true });
    expect(second.steps[0]).to.deep.include({ cached: false, missed: ['limits'] });
    expect(await read(second.id, 'n')).to.equal('124\n456\n0\n');
  });

  it('--ssh lets RUN use the keys of an agent, and leaves no trace of it', async () => {
    const socket = join(directory, 'agent');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    children.push(agent);
    while (!existsSync(socket)) await sleep(50);
    const key = join(directory, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', key]);
    execFileSync('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    const fingerprint = execFileSync('ssh-keygen', ['-lf', `${key}.pub`], { encoding: 'utf8' }).split(' ')[1]!;
    // The program and all that it loads: the base has none of it.
    const tools = join(directory, 'tools');
    mkdirSync(tools);
    const libraries = execFileSync('ldd', ['/usr/bin/ssh-add'], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
    for (const path of ['/usr/bin/ssh-add', ...libraries]) copyFileSync(path, join(tools, basename(path)));
    const loader = libraries.map((path) => basename(path)).find((name) => name.startsWith('ld-'))!;
    const list = `/tools/${loader} --library-path /tools /tools/ssh-add -l`;
    const mounts = '--mount=type=bind,from=tools,target=/tools --mount=type=ssh';
    const buildContexts = [`tools=${tools}`];
    const dockerfile = `FROM base:1\nRUN ${mounts} ${list} >/keys && echo $SSH_AUTH_SOCK >>/keys\n`;
    const { id } = await build(dockerfile, { ssh: [`default=${socket}`], buildContexts });
    const [line = '', where = ''] = (await read(id, 'keys')).split('\n');
    expect(line).to.include(fingerprint);
    const box = await imgtool.create(id);
    expect(existsSync(join(await imgtool.mount(box.id), where))).to.equal(false);
    await imgtool.rm(box.id);
    // Without an agent: only what is required fails.
    const optional = 'FROM base:1\nRUN --mount=type=ssh test -z "$SSH_AUTH_SOCK"\n';
    await build(optional, { noCache: true });
    const error = await rejection(build('FROM base:1\nRUN --mount=type=ssh,required true\n'));
    expect(error).to.be.instanceOf(DockerfileError);
    agent.kill();
  });

  for (const [sharing, seen] of [
    ['shared', 'both'],
    ['private', 'own'],
    ['locked', 'in turn'],
  ] as const)
    it(`cache mounts with sharing=${sharing}: two stages at the same time see ${seen}`, async () => {
      const mount = `--mount=type=cache,id=${sharing},target=/c,sharing=${sharing}`;
      const end = (name: string): string => (sharing === 'shared' ? 'true' : `rm /c/${name}`);
      // Each says that it is there, waits, and looks who else is.
      const stage = (name: string): string =>
        `FROM base:1 AS ${name}\nRUN ${mount} touch /c/${name}; sleep 3; ls /c >/seen; ${end(name)}\n`;
      const dockerfile = `${stage('a')}${stage('b')}FROM scratch\nCOPY --from=a /seen /a\nCOPY --from=b /seen /b\n`;
      const { id } = await build(dockerfile);
      const found = [await read(id, 'a'), await read(id, 'b')];
      expect(found).to.deep.equal(sharing === 'shared' ? ['a\nb\n', 'a\nb\n'] : ['a\n', 'b\n']);
      expect(leftovers()).to.deep.equal([]);
    });

  it('a cache mount is filled from a stage that needs the only slot', async () => {
    const stage = 'FROM base:1 AS filler\nRUN mkdir /d\nRUN echo one >/d/x\nRUN echo two >/d/y\n';
    const mount = '--mount=type=cache,id=filled,target=/c,from=filler,source=/d';
    const { id } = await build(`${stage}FROM base:1\nRUN ${mount} cat /c/x /c/y >/seen\n`, { jobs: 1 });
    expect(await read(id, 'seen')).to.equal('one\ntwo\n');
  });

  it('runs that lock the same caches in another order, or one of them twice, end', async () => {
    const mount = (name: string, target = name): string =>
      `--mount=type=cache,id=order-${name},target=/c/${target},sharing=locked`;
    const stage = (name: string, ...mounts: readonly string[]): string =>
      `FROM base:1 AS ${name}\nRUN ${mounts.join(' ')} sleep 1; ls /c >/seen\n`;
    const { id } = await build(
      `${stage('one', mount('a'), mount('b'), mount('a', 'again'))}${stage('other', mount('b'), mount('a'))}` +
        'FROM scratch\nCOPY --from=one /seen /one\nCOPY --from=other /seen /other\n',
    );
    expect([await read(id, 'one'), await read(id, 'other')]).to.deep.equal(['a\nagain\nb\n', 'a\nb\n']);
  });

  it('what the first of two private users writes stays, what the second does is dropped', async () => {
    const mount = '--mount=type=cache,id=kept,target=/c,sharing=private';
    const stage = (name: string, wait: number): string =>
      `FROM base:1 AS ${name}\nRUN sleep ${wait}; ${`echo ${name}`} >/${name}\nRUN ${mount} touch /c/${name}; sleep 2\n`;
    await build(`${stage('a', 0)}${stage('b', 1)}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n`);
    const { id } = await build(`FROM base:1\nRUN ${mount} ls /c >/seen\n`);
    expect(await read(id, 'seen')).to.equal('a\n');
  });

  it('--ignorefile is read in place of the ignore file of the context', async () => {
    const own = join(directory, 'ignored-context');
    mkdirSync(own);
    for (const name of ['one', 'two']) writeFileSync(join(own, name), name);
    writeFileSync(join(own, '.dockerignore'), 'one\n');
    const ignoreFile = join(directory, 'ignore');
    writeFileSync(ignoreFile, 'two\n.dockerignore\n');
    const file = fileWith('FROM base:1\nCOPY . /got/\n');
    const built = (await program(root, 'build', '-q', '-f', file, '--ignorefile', ignoreFile, own)).trim();
    const box = await imgtool.create(built);
    expect(readdirSync(join(await imgtool.mount(box.id), 'got'))).to.deep.equal(['one']);
    await imgtool.rm(box.id);
    const missing = await rejection(imgtool.build(own, { file, ignoreFile: join(directory, 'none') }));
    expect(missing).to.be.instanceOf(NotFoundError);
    expect((missing as NotFoundError).hint).to.equal('check the path of --ignorefile');
  });

  it('--check prints the warnings and builds nothing', async () => {
    const none = join(directory, 'none');
    const plain = fileWith('FROM scratch\nMAINTAINER me\nCOPY missing /\n');
    const said = await program(none, 'build', '--check', '-f', plain, context);
    expect(said).to.match(/^\S*:2: MaintainerDeprecated: /);
    const warning = said.replace(/^.*?MaintainerDeprecated: /, '');
    const { warnings } = JSON.parse(await program(none, 'build', '--check', '--json', '-f', plain, context)) as {
      warnings: { line: number; rule: string }[];
    };
    expect(warnings.map(({ line, rule }) => [line, rule])).to.deep.equal([[2, 'MaintainerDeprecated']]);
    expect(await program(none, 'build', '--check', '-f', fileWith('FROM scratch\n'), context)).to.equal('no warnings');
    const strict = fileWith('# check=error=true\nFROM scratch\nMAINTAINER me\n');
    const { message } = await rejection(program(none, 'build', '-f', strict, context));
    expect(message).to.include('(2)').and.include('MaintainerDeprecated');
    const checked = spawnSync(IMGTOOL, ['--root', none, 'build', '--check', '-f', strict, context], {
      encoding: 'utf8',
    });
    expect([checked.status, checked.stdout]).to.deep.equal([2, `${strict}:3: MaintainerDeprecated: ${warning}\n`]);
    expect(existsSync(none)).to.equal(false);
  });

  it('Ctrl-C ends a build at once: finished steps stay, nothing else does', async () => {
    const steps = 'FROM base:1\nRUN echo interrupted >/done\n';
    const file = fileWith(`${steps}RUN --mount=type=cache,target=/i sh -c 'trap "" INT TERM; sleep 1234'\n`);
    const child = spawn(IMGTOOL, ['--root', root, '--progress', 'plain', 'build', '-f', file, context], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(child);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    while (!said.includes('sleep 1234')) await sleep(50);
    await sleep(1000);
    child.kill('SIGINT');
    const begun = Date.now();
    const [status] = (await once(child, 'close')) as [number];
    expect(status).to.equal(9);
    expect(Date.now() - begun).to.be.below(10_000);
    expect(said).not.to.match(/at .*\.js:/);
    expect(leftovers()).to.deep.equal([]);
    expect(await run('sh', ['-c', 'ps ax | grep -c "[s]leep 1234" || true'])).to.equal('0\n');
    const again = await build(steps);
    expect(again.steps.map(({ cached }) => cached)).to.deep.equal([true]);
  });

  it('COPY --from and FROM take an OCI layout as build context', async () => {
    const layout = join(directory, 'layout');
    const buildContexts = [`other=oci:${layout}:one`, `base=oci-layout://${layout}:two`];
    const dockerfile = 'FROM base\nCOPY --from=other /mark /other\nRUN cat /mark /other >/both\n';
    const { id } = await build(dockerfile, { buildContexts });
    expect(await read(id, 'both')).to.equal('twoone');
    // The same without a store.
    const archive = join(directory, 'built.oci');
    const remote = await program(
      join(directory, 'none'),
      ...['build', '-f', fileWith('FROM base\nCOPY --from=other /mark /other\n'), '-t', 'x:1'],
      ...buildContexts.flatMap((text) => ['--build-context', text]),
      ...['-o', `type=oci,dest=${archive}`, context],
    );
    expect(existsSync(join(directory, 'none'))).to.equal(false);
    await imgtool.load(archive);
    expect([await read(remote, 'other'), await read(remote, 'mark')]).to.deep.equal(['one', 'two']);
  });

  it('--pull says when base images are fetched; alone it means always', async () => {
    const name = `${served.host}/moving:1`;
    const publish = (tag: string): Promise<unknown> =>
      imgtool.copy(`oci:${directory}/layout:${tag}`, [`docker://${name}`]);
    const file = fileWith(`FROM ${name}\nCOPY file /\n`);
    const marked = async (...pull: readonly string[]): Promise<string> =>
      read(await program(root, 'build', '-f', file, ...pull, context), 'mark');
    const never = await rejection(imgtool.build(context, { file, pull: 'never' }));
    expect(never).to.be.instanceOf(NotFoundError);
    await publish('one');
    expect(await marked()).to.equal('one');
    await publish('two');
    for (const pull of [[], ['--pull=missing'], ['--pull=never'], ['--pull=false']])
      expect(await marked(...pull), pull.join()).to.equal('one');
    expect(await marked('--pull=newer')).to.equal('two');
    await publish('one');
    expect(await marked('--pull=always')).to.equal('one');
    await publish('two');
    expect(await marked('--pull')).to.equal('two');
    const { message } = await rejection(program(root, 'build', '--pull=sometimes', '-f', file, context));
    expect(message).to.include('(2)').and.include('choose one of always, missing, newer, never');
  });

  it('--push pushes to each name; one that fails is an error, and the others have the image', async () => {
    const names = [`${served.host}/pushed:1`, `${served.host}/other:2`];
    const result = await build('FROM base:1\nCOPY file /pushed\n', { tags: names, push: true });
    for (const name of names)
      expect(
        await run('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${name}`]),
      ).to.equal(`${result.digest}\n`);
    const error = await rejection(
      build('FROM base:1\nCOPY file /pushed\n', { tags: [names[0]!, '127.0.0.1:1/none:1'], push: true }),
    );
    expect((error as Error).message).to.include('127.0.0.1:1');
    expect(error).not.to.be.instanceOf(BuildStepError);
  });
});
