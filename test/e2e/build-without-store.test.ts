import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { makeFiles } from '../imgtool/copy-stage.js';
import { copyProgram, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { startRecordingProxy, type RecordingProxy } from '../helpers/recording-proxy.js';
import { writeSmallImage, SMALL_IMAGE_TAG } from '../helpers/small-image.js';
import { writeTar } from '../helpers/tar-writer.js';

/** A user without rights, name of a home or store. */
const NOBODY = 65534;
const EPOCH = '1750000000';

describe('build without a store, as a user without rights', () => {
  let base: string;
  let program: string;
  let context: string;
  let served: Served;
  let proxy: RecordingProxy;

  before(async () => {
    base = mkdtempSync(join(tmpdir(), 'imgtool-rootless-'));
    chmodSync(base, 0o755);
    program = await copyProgram(join(base, 'program'));
    const layout = join(base, 'layout');
    await writeSmallImage(layout);
    served = await startServe(join(base, 'registry'));
    await imgtool(join(base, 'none'), 'copy', `oci:${layout}:${SMALL_IMAGE_TAG}`, `docker://${served.host}/base:1`);
    proxy = await startRecordingProxy(served.host);
    context = join(base, 'context');
    mkdirSync(context);
    makeFiles(context, {
      'app/bin': 'program',
      'app/conf/a': 'a',
      f: 'content',
      '.dockerignore': 'skipped\n',
      skipped: '',
    });
    chmodSync(join(context, 'app/bin'), 0o755);
    writeFileSync(join(context, 't.tar.gz'), gzipSync(writeTar([{ path: 'd/x', content: 'tar', uid: 4, gid: 5 }])));
    for (const path of ['app/bin', 'app/conf/a', 'app/conf', 'app', 'f']) utimesSync(join(context, path), 1.6e9, 1.6e9);
    mkdirSync(join(base, 'home'));
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, join(base, 'home')]);
    mkdirSync(join(base, 'tmp'), { mode: 0o1777 });
    chmodSync(join(base, 'tmp'), 0o1777);
  });
  after(async () => {
    await proxy.close();
    await served.stop();
    await rm(base, { recursive: true, force: true });
  });

  const build = (
    ...args: readonly string[]
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } => {
    const { status, stdout, stderr } = spawnSync(
      program,
      ['--root', join(base, 'home/store'), '--progress', 'none', 'build', ...args, context],
      {
        encoding: 'utf8',
        uid: NOBODY,
        gid: NOBODY,
        cwd: '/',
        env: { PATH: process.env.PATH, HOME: join(base, 'home'), TMPDIR: join(base, 'tmp'), SOURCE_DATE_EPOCH: EPOCH },
      },
    );
    return { status, stdout, stderr };
  };
  const asyncBuild = (...args: readonly string[]): Promise<ReturnType<typeof build>> =>
    // The proxy is of this process: it must go on while the program runs.
    new Promise((resolve, reject) => {
      import('node:child_process').then(({ spawn }) => {
        const child = spawn(
          program,
          ['--root', join(base, 'home/store'), '--progress', 'none', 'build', ...args, context],
          {
            uid: NOBODY,
            gid: NOBODY,
            cwd: '/',
            env: {
              PATH: process.env.PATH,
              HOME: join(base, 'home'),
              TMPDIR: join(base, 'tmp'),
              SOURCE_DATE_EPOCH: EPOCH,
            },
          },
        );
        const out = { stdout: '', stderr: '' };
        child.stdout.on('data', (text: Buffer) => (out.stdout += text.toString()));
        child.stderr.on('data', (text: Buffer) => (out.stderr += text.toString()));
        child.on('close', (status) => resolve({ status, ...out }));
        child.on('error', reject);
      }, reject);
    });
  const dockerfile = (text: string): string => {
    const path = join(base, `Dockerfile-${Math.random().toString(36).slice(2)}`);
    writeFileSync(path, text);
    return path;
  };
  const digestOf = (reference: string): Promise<string> =>
    imgtool(join(base, 'none'), 'digest', `docker://${reference}`);

  const cases: readonly { readonly name: string; readonly lines: readonly string[] }[] = [
    { name: 'one file into a base', lines: ['FROM BASE', 'COPY app/bin /usr/bin/app', 'ENTRYPOINT ["/usr/bin/app"]'] },
    {
      name: 'names, links, directories that are there, WORKDIR',
      lines: [
        'FROM BASE',
        'WORKDIR /work/deep',
        'COPY --chown=app app .',
        'COPY f /var/loop/lib/app/inner/',
        'COPY --chmod=600 f /etc/motd',
        'ADD t.tar.gz /opt/',
        'USER app',
        'WORKDIR /home/app',
        'ENV A=1',
        'COPY . /all',
      ],
    },
    {
      name: 'stages, images, scratch and heredocs',
      lines: [
        'FROM BASE AS first',
        'COPY app /built',
        'FROM scratch AS second',
        'COPY --from=first /built/conf /conf',
        'COPY --from=first /srv /srv',
        'FROM second',
        'COPY --from=BASE /srv/first /etc/passwd /copied/',
        'COPY <<EOF /text',
        'hello',
        'EOF',
        'LABEL a=b',
      ],
    },
    {
      name: 'what the base has already',
      lines: ['FROM BASE', 'COPY --from=BASE /var /var', 'COPY --from=BASE /etc /etc'],
    },
    {
      name: 'what is in the way is replaced with --link',
      lines: ['FROM BASE', 'COPY --link f /var/lib/app/', 'COPY --link app /srv/far/inside'],
    },
  ];
  for (const { name, lines } of cases)
    it(`gives the digest that a store gives: ${name}`, async () => {
      const text = (host: string): string => lines.join('\n').replaceAll('BASE', `${host}/base:1`) + '\n';
      const reference = `${served.host}/built:${cases.findIndex((entry) => entry.name === name)}`;
      const result = build('-f', dockerfile(text(served.host)), '-t', reference, '--push');
      expect(result.stderr).to.equal('');
      expect(result.status).to.equal(0);
      const root = btrfsDirectory('rootless');
      process.env.SOURCE_DATE_EPOCH = EPOCH;
      try {
        const id = await imgtool(root, 'build', '-f', dockerfile(text(served.host)), '-t', reference, context);
        const [image] = JSON.parse(await imgtool(root, 'images', '--json')) as { id: string; digest: string }[];
        if (result.stdout.trim() !== id) {
          const config = (where: string[]): Promise<string> => imgtool(root, 'inspect', '--config', ...where);
          expect(JSON.parse(await config([`docker://${reference}`]))).to.deep.equal(JSON.parse(await config([id])));
        }
        expect(result.stdout.trim()).to.equal(id);
        expect(await digestOf(reference)).to.equal(image?.digest);
      } finally {
        delete process.env.SOURCE_DATE_EPOCH;
      }
      expect(readdirSync(join(base, 'tmp'))).to.deep.equal([]);
    });

  it('reads each layer of the base once, and nothing of it the second time; pushes by mounts', async () => {
    const file = dockerfile(`FROM ${proxy.host}/base:1\nCOPY f /x/\n`);
    await rm(join(base, 'home/.cache'), { recursive: true, force: true });
    const blobs = (method: string): string[] =>
      proxy.requests
        .filter((asked) => asked.method === method && asked.path.includes('/blobs/'))
        .map(({ path }) => path);
    const first = await asyncBuild('-f', file, '-t', `${proxy.host}/one:1`, '--push');
    expect([first.stderr, first.status]).to.deep.equal(['', 0]);
    const layers = 4;
    // The config is read too.
    expect(blobs('GET').length).to.equal(layers + 1);
    expect(new Set(blobs('GET')).size).to.equal(layers + 1);
    proxy.requests.length = 0;
    const second = await asyncBuild('-f', file, '-t', `${proxy.host}/two:1`, '--push');
    expect([second.stderr, second.stdout]).to.deep.equal(['', first.stdout]);
    expect(blobs('GET').length, 'the config').to.equal(1);
    expect(blobs('POST').filter((path) => path.includes('mount=')).length).to.be.at.least(layers);
    const sent = proxy.requests
      .filter(({ path }) => path.includes('/blobs/'))
      .reduce((sum, { received }) => sum + received, 0);
    expect(sent, 'the layer of COPY and the config').to.be.below(5000);
  });

  it('takes the steps before the first change from the remote cache, without fetching or sending their layers', async () => {
    const file = dockerfile(`FROM ${proxy.host}/base:1\nCOPY app /x/app/\nCOPY f /x/app/conf/\n`);
    const cached = (tag: string, ...args: readonly string[]): ReturnType<typeof asyncBuild> =>
      asyncBuild('-f', file, '-t', `${proxy.host}/${tag}`, '--push', ...args);
    const cache = ['--cache-from', `${proxy.host}/cache`, '--cache-to', `${proxy.host}/cache`];
    const layersOf = async (tag: string): Promise<readonly string[]> => {
      const { layers } = JSON.parse(
        await imgtool(join(base, 'none'), 'manifest', 'get', `docker://${proxy.host}/${tag}`),
      ) as {
        layers: { digest: string }[];
      };
      return layers.map(({ digest }) => digest);
    };
    const moved = (digest: string): string[] =>
      proxy.requests
        .filter(({ method, path }) =>
          method === 'GET'
            ? path.endsWith(digest)
            : path.includes(encodeURIComponent(digest)) && !path.includes('mount='),
        )
        .map(({ method, path }) => `${method} ${path}`);
    const first = await cached('part:1', ...cache);
    expect([first.stderr, first.status]).to.deep.equal(['', 0]);
    writeFileSync(join(context, 'f'), 'changed');
    proxy.requests.length = 0;
    const second = await cached('other:1', ...cache);
    expect([second.stderr, second.status]).to.deep.equal(['', 0]);
    const [before, after] = [await layersOf('part:1'), await layersOf('other:1')];
    expect(after.slice(0, -1)).to.deep.equal(before.slice(0, -1));
    expect(after.at(-1)).not.to.equal(before.at(-1));
    const copied = before.at(-2)!;
    expect(moved(copied)).to.deep.equal([]);
    // The file system of the step below it was known: the same digest as from scratch.
    expect((await cached('whole:1')).stdout).to.equal(second.stdout);
    expect(await layersOf('whole:1')).to.deep.equal(after);
    // A machine that never saw the layer reads it once, as those of the base.
    await rm(join(base, 'home/.cache'), { recursive: true, force: true });
    writeFileSync(join(context, 'f'), 'content');
    proxy.requests.length = 0;
    expect((await cached('cold:1', ...cache)).stdout).to.equal(first.stdout);
    expect(moved(copied), 'all steps are kept').to.deep.equal([]);
    writeFileSync(join(context, 'f'), 'other');
    proxy.requests.length = 0;
    const last = await cached('cold:2', ...cache);
    expect([last.stderr, last.status]).to.deep.equal(['', 0]);
    expect(moved(copied)).to.have.lengthOf(1);
    writeFileSync(join(context, 'f'), 'content');
    utimesSync(join(context, 'f'), 1.6e9, 1.6e9);
  });

  it('writes archives', () => {
    const file = dockerfile(`FROM ${served.host}/base:1\nCOPY f /x/\n`);
    for (const type of ['oci', 'docker']) {
      const path = join(base, 'home', `${type}.tar`);
      const { status, stderr, stdout } = build(
        '-f',
        file,
        '-t',
        'localhost/app:7',
        '--output',
        `type=${type},dest=${path}`,
      );
      expect([stderr, status], type).to.deep.equal(['', 0]);
      const inspected = execFileSync('skopeo', ['inspect', '--config', '--raw', `${type}-archive:${path}`], {
        encoding: 'utf8',
      });
      expect(inspected).to.include('history');
      if (type === 'oci') expect(stdout).to.match(/^sha256:/);
      expect(readFileSync(path).length).to.be.greaterThan(1000);
    }
  });

  it('errors: RUN, a missing source, an unknown user, a base that does not exist', () => {
    const failing = (text: string): ReturnType<typeof build> =>
      build('-f', dockerfile(text.replaceAll('BASE', `${served.host}/base:1`)), '-t', `${served.host}/bad:1`, '--push');
    expect(failing('FROM BASE\nRUN true\n').status).to.equal(7);
    expect(failing('FROM BASE\nCOPY none /\n').stderr).to.include(':2: none is not in the build context');
    expect(failing('FROM BASE\nCOPY --chown=ghost f /\n').stderr).to.include('the stage has no user "ghost"');
    expect(failing(`FROM ${served.host}/none:1\nCOPY f /\n`).status).to.equal(3);
    const names = ['-t', `${served.host}/part:9`, '-t', '127.0.0.1:1/none:1'];
    const some = build('-f', dockerfile('FROM scratch\nCOPY f /\n'), ...names, '--push', '--retry', '0');
    expect(some.stderr).to.include('1 of 2 destinations do not have the image');
    expect(some.status).to.equal(10);
    expect(readdirSync(join(base, 'tmp'))).to.deep.equal([]);
  });
});
