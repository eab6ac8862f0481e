import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { makeFiles } from '../imgtool/copy-stage.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { startRecordingProxy, type Recorded, type RecordingProxy } from '../helpers/recording-proxy.js';
import { run } from '../helpers/run.js';
import { writeSmallImage, SMALL_IMAGE_TAG } from '../helpers/small-image.js';

/** Layers of the base. */
const BASE_LAYERS = 4;

describe('build with a remote cache', () => {
  let base: string;
  let context: string;
  let served: Served;
  let proxy: RecordingProxy;
  let dockerfile: string;

  before(async () => {
    base = mkdtempSync(join(tmpdir(), 'imgtool-remote-cache-'));
    const layout = join(base, 'layout');
    await writeSmallImage(layout);
    served = await startServe(join(base, 'registry'));
    await imgtool(join(base, 'none'), 'copy', `oci:${layout}:${SMALL_IMAGE_TAG}`, `docker://${served.host}/base:1`);
    proxy = await startRecordingProxy(served.host);
    context = join(base, 'context');
    mkdirSync(context);
    makeFiles(context, { first: 'one', last: 'two' });
    dockerfile = join(base, 'Dockerfile');
    writeFileSync(
      dockerfile,
      [
        `FROM ${proxy.host}/base:1 AS helper`,
        'RUN /bin/busybox head -c 16 /dev/urandom > /helped',
        `FROM ${proxy.host}/base:1`,
        'WORKDIR /work',
        'COPY first .',
        'RUN /bin/busybox head -c 16 /dev/urandom > /random',
        'ENV A=1',
        'COPY --from=helper /helped /helped',
        'COPY last .',
        'CMD ["/bin/sh"]',
        '',
      ].join('\n'),
    );
  });
  after(async () => {
    await proxy.close();
    await served.stop();
    await rm(base, { recursive: true, force: true });
  });

  const build = (root: string, tag: string, ...args: readonly string[]): Promise<string> =>
    imgtool(root, 'build', '-f', dockerfile, '-t', `${proxy.host}/${tag}`, '--push', ...args, context);
  const cache = (): string => `${proxy.host}/cache`;
  const asked = (method: string, part: string): Recorded[] =>
    proxy.requests.filter((request) => request.method === method && request.path.includes(part));
  const STEPS = 5;

  it('a cold machine asks one HEAD a step, fetches no layer and pushes by mounts; no store is made', async () => {
    const id = await build(btrfsDirectory('cache-a'), 'app:1', '--cache-from', cache(), '--cache-to', cache());
    proxy.requests.length = 0;
    const cold = join(base, 'cold');
    expect(await build(cold, 'other:1', '--cache-from', cache())).to.equal(id);
    expect(asked('HEAD', '/manifests/ic-').map(({ status }) => status)).to.deep.equal(Array(STEPS).fill(200));
    const reads = asked('GET', '/blobs/');
    expect(reads.length, 'the config of the base and the record of the last step').to.equal(2);
    expect(asked('POST', 'mount=').filter(({ status }) => status === 201).length).to.equal(BASE_LAYERS + STEPS);
    const sent = proxy.requests.reduce((sum, { received }) => sum + received, 0);
    expect(sent, 'config and manifest').to.be.below(10_000);
    expect(existsSync(cold)).to.equal(false);
    // The image is whole.
    expect(await imgtool(btrfsDirectory('cache-b'), 'pull', `${proxy.host}/other:1`)).to.equal(id);
  });

  it('what changed is built, what is before it is taken, stages that are not needed are left out', async () => {
    writeFileSync(join(context, 'last'), 'three');
    const root = btrfsDirectory('cache-c');
    // There is a store, which the image is to be in.
    await imgtool(root, 'pull', `${proxy.host}/base:1`);
    const id = await build(root, 'app:2', '--cache-from', cache(), '--cache-to', cache());
    const mountOf = async (store: string, image: string): Promise<string> => {
      await imgtool(store, 'create', image, '--name', 'look');
      return imgtool(store, 'mount', 'look');
    };
    const before = btrfsDirectory('cache-d');
    const [now, old] = [
      await mountOf(root, id),
      await mountOf(before, await imgtool(before, 'pull', `${proxy.host}/app:1`)),
    ];
    for (const path of ['random', 'helped'])
      expect(readFileSync(join(now, path)).equals(readFileSync(join(old, path))), path).to.equal(true);
    expect(readFileSync(join(now, 'work/last'), 'utf8')).to.equal('three');
    // The changed step is kept too.
    proxy.requests.length = 0;
    expect(await build(join(base, 'cold'), 'app:3', '--cache-from', cache())).to.equal(id);
    expect(asked('HEAD', '/manifests/ic-').every(({ status }) => status === 200)).to.equal(true);
  });

  it('steps with RUN that are kept need neither root nor a store: only what comes after is built', async () => {
    writeFileSync(join(context, 'last'), 'four');
    const cold = join(base, 'cold');
    const id = await build(cold, 'app:6', '--cache-from', cache());
    expect(existsSync(cold)).to.equal(false);
    const root = btrfsDirectory('cache-g');
    expect(await imgtool(root, 'pull', `${proxy.host}/app:6`)).to.equal(id);
    await imgtool(root, 'create', id, '--name', 'look');
    const files = await imgtool(root, 'mount', 'look');
    expect(readFileSync(join(files, 'work/last'), 'utf8')).to.equal('four');
    await imgtool(root, 'pull', `${proxy.host}/app:2`);
    await imgtool(root, 'create', `${proxy.host}/app:2`, '--name', 'old');
    const old = await imgtool(root, 'mount', 'old');
    for (const path of ['random', 'helped'])
      expect(readFileSync(join(files, path)).equals(readFileSync(join(old, path))), path).to.equal(true);
  });

  it('what is older than --cache-ttl is built again and kept in its place', async () => {
    const repository = `${proxy.host}/old`;
    const file = join(base, 'Dockerfile-ttl');
    writeFileSync(file, `FROM ${proxy.host}/base:1\nRUN /bin/busybox head -c 16 /dev/urandom > /random\n`);
    const aged = (ttl: string): Promise<string> =>
      imgtool(
        btrfsDirectory('cache-h'),
        ...['build', '-f', file, '-t', `${proxy.host}/aged:1`, '--push', '--cache-ttl', ttl],
        ...['--cache-from', repository, '--cache-to', repository, context],
      );
    const first = await aged('1h');
    expect(await aged('1h')).to.equal(first);
    await sleep(1100);
    const second = await aged('1s');
    expect(second).not.to.equal(first);
    expect(await aged('1h')).to.equal(second);
  });

  it('SOURCE_DATE_EPOCH makes no step older', async () => {
    const repository = `${proxy.host}/dated`;
    const file = join(base, 'Dockerfile-dated');
    writeFileSync(file, `FROM ${proxy.host}/base:1\nRUN /bin/busybox head -c 16 /dev/urandom > /random\n`);
    const dated = (root: string): Promise<string> =>
      imgtool(
        root,
        ...[
          'build',
          '-f',
          file,
          '-t',
          `${proxy.host}/dated:1`,
          '--push',
          '--build-arg',
          'SOURCE_DATE_EPOCH=1000000000',
        ],
        ...['--cache-ttl', '1h', '--cache-from', repository, '--cache-to', repository, context],
      );
    const first = await dated(btrfsDirectory('cache-m'));
    expect(await dated(join(base, 'cold'))).to.equal(first);
  });

  it('a step is kept with the layers below it, though the repository has others of the same key', async () => {
    const repository = `${proxy.host}/mixed`;
    const file = join(base, 'Dockerfile-mixed');
    writeFileSync(
      file,
      `FROM ${proxy.host}/base:1\nRUN /bin/busybox head -c 16 /dev/urandom > /random\nCOPY mixed .\n`,
    );
    const mixed = (root: string, ...args: readonly string[]): Promise<string> =>
      imgtool(root, 'build', '-f', file, ...args, context);
    writeFileSync(join(context, 'mixed'), 'one');
    await mixed(btrfsDirectory('cache-i'), '--cache-to', repository);
    writeFileSync(join(context, 'mixed'), 'two');
    const id = await mixed(btrfsDirectory('cache-j'), '--cache-to', repository);
    const cold = join(base, 'cold');
    const args = ['-t', `${proxy.host}/app:7`, '--push', '--cache-from', repository];
    expect(await mixed(cold, ...args)).to.equal(id);
    expect(existsSync(cold)).to.equal(false);
  });

  it('a file that changes before it is copied is not kept under the key of the old one', async () => {
    const repository = `${proxy.host}/changed`;
    const file = join(base, 'Dockerfile-changed');
    writeFileSync(file, `FROM ${proxy.host}/base:1\nRUN /bin/busybox sleep 3\nCOPY changed /changed\n`);
    const changed = (root: string): Promise<string> =>
      imgtool(root, 'build', '-f', file, '--cache-from', repository, '--cache-to', repository, context);
    writeFileSync(join(context, 'changed'), 'old');
    proxy.requests.length = 0;
    const building = changed(btrfsDirectory('cache-k'));
    while (asked('HEAD', '/manifests/ic-').length < 2) await sleep(20);
    writeFileSync(join(context, 'changed'), 'new');
    await building;
    writeFileSync(join(context, 'changed'), 'old');
    const root = btrfsDirectory('cache-l');
    const id = await changed(root);
    await imgtool(root, 'create', id, '--name', 'look');
    expect(readFileSync(join(await imgtool(root, 'mount', 'look'), 'changed'), 'utf8')).to.equal('old');
  });

  it('a registry that does not answer is a remark', async () => {
    const root = btrfsDirectory('cache-e');
    const id = await build(root, 'app:4', '--cache-from', '127.0.0.1:1/none', '--retry', '0');
    expect(id).to.match(/^sha256:/);
  });

  describe('layers that the cache cannot give', () => {
    let file: string;
    let repository: string;
    let records: number;
    afterEach(() => delete proxy.intercept);

    /** Keeps three steps at a repository, and has it answer so when their layers are asked for; it gives their record. */
    async function keepThenFail(name: string, answer: { status: number; body?: string }): Promise<void> {
      repository = `${proxy.host}/${name}`;
      file = join(base, `Dockerfile-${name}`);
      writeFileSync(
        file,
        [
          `FROM ${proxy.host}/base:1 AS helper`,
          'RUN echo helped > /helped',
          `FROM ${proxy.host}/base:1`,
          'RUN /bin/busybox head -c 16 /dev/urandom > /random',
          'COPY --from=helper /helped /helped',
          `RUN echo ${name} > /last`,
          '',
        ].join('\n'),
      );
      await imgtool(btrfsDirectory(`cache-${name}`), 'build', '-f', file, '--cache-to', repository, context);
      records = 0;
      proxy.intercept = (method, path) =>
        method === 'GET' && path.startsWith(`/v2/${name}/blobs/`) && (records += 1) > 1 ? answer : undefined;
    }
    const buildFrom = (root: string, ...args: readonly string[]): Promise<string> =>
      run('sh', [
        ...['-c', '"$@" 2>&1', 'sh', IMGTOOL, '--root', root, '--progress', 'plain', '--retry', '0', 'build'],
        ...['-f', file, '--cache-from', repository, ...args, context],
      ]);
    const warning = (line: number): string =>
      `warning: ${file}:${line}: the layer at the remote cache ${repository} is not used: `;

    for (const [name, answer] of [
      ['lost', { status: 404 }],
      ['ill', { status: 500 }],
      ['damaged', { status: 200, body: 'no layer' }],
    ] as const)
      it(`in a store, the steps are run (${name})`, async () => {
        await keepThenFail(name, answer);
        const root = btrfsDirectory(`cache-${name}-2`);
        const output = await buildFrom(root, '-t', 'localhost/again:1', '--cache-to', repository);
        expect(output).to.include(warning(4));
        await imgtool(root, 'create', 'localhost/again:1', '--name', 'look');
        const files = await imgtool(root, 'mount', 'look');
        expect(readFileSync(join(files, 'last'), 'utf8')).to.equal(`${name}\n`);
        expect(readFileSync(join(files, 'helped'), 'utf8')).to.equal('helped\n');
        expect(readFileSync(join(files, 'random'))).to.have.length(16);
        // They are kept in place of those that are lost.
        delete proxy.intercept;
        const cold = btrfsDirectory(`cache-${name}-3`);
        expect(await buildFrom(cold, '-t', 'localhost/again:1')).not.to.include('warning');
        await imgtool(cold, 'create', 'localhost/again:1', '--name', 'look');
        const again = await imgtool(cold, 'mount', 'look');
        expect(readFileSync(join(again, 'random')).equals(readFileSync(join(files, 'random')))).to.equal(true);
      });

    for (const [name, answer] of [
      ['gone', { status: 404 }],
      ['broken', { status: 200, body: 'no layer' }],
    ] as const)
      it(`without a store, the build is begun once more (${name})`, async () => {
        await keepThenFail(name, answer);
        const archive = join(base, `${name}.tar`);
        const root = btrfsDirectory(`cache-${name}-2`);
        const output = await buildFrom(root, '--output', `type=oci,dest=${archive}`);
        expect(output).to.match(/warning: .*: the layer at the remote cache .* is not used: /);
        expect(existsSync(archive)).to.equal(true);
      });
  });

  it('--no-cache takes nothing', async () => {
    proxy.requests.length = 0;
    await build(btrfsDirectory('cache-f'), 'app:5', '--no-cache', '--cache-from', cache());
    expect(asked('HEAD', '/manifests/ic-').length).to.equal(0);
  });
});
