import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { startRecordingProxy, type RecordingProxy } from '../helpers/recording-proxy.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { writeSmallImage, SMALL_IMAGE_TAG } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';

describe('build --cache-mounts', () => {
  let base: string;
  let context: string;
  let served: Served;
  let proxy: RecordingProxy;

  before(async () => {
    base = mkdtempSync(join(tmpdir(), 'imgtool-cache-mounts-'));
    await writeSmallImage(join(base, 'layout'));
    served = await startServe(join(base, 'registry'));
    await imgtool(
      join(base, 'none'),
      'copy',
      `oci:${base}/layout:${SMALL_IMAGE_TAG}`,
      `docker://${served.host}/base:1`,
    );
    proxy = await startRecordingProxy(served.host);
    context = join(base, 'context');
    mkdirSync(context);
  });
  after(async () => {
    await proxy.close();
    await served.stop();
    await rm(base, { recursive: true, force: true });
  });

  const KEY = createHash('sha256').update('pkg').digest('hex');
  const cacheOf = (root: string): string => join(root, 'cache', KEY);
  const repository = (): string => `${proxy.host}/cache`;
  const both = (): string[] => ['--cache-from', repository(), '--cache-to', repository(), '--cache-mounts'];
  /** Builds a Dockerfile with one RUN; resolves with what it wrote to /out. */
  const build = async (root: string, script: string, ...args: readonly string[]): Promise<string> => {
    const file = join(base, 'Dockerfile');
    writeFileSync(file, `FROM ${proxy.host}/base:1\nRUN --mount=type=cache,id=pkg,target=/c${script}\n`);
    const id = await imgtool(root, 'build', '-f', file, ...args, context);
    const box = await imgtool(root, 'create', id);
    const path = join(await imgtool(root, 'mount', box), 'out');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const asked = (method: string): string[] =>
    proxy.requests
      .filter((request) => request.method === method && request.path.includes('/manifests/cm-'))
      .map(({ path, status }) => `${status} ${path.replace(/.*\//, '')}`);
  /** A file of each kind. */
  const FILL = [
    'echo one >>/c/log',
    'mkdir -p /c/d/e',
    'echo x >/c/d/file',
    '/bin/busybox ln /c/d/file /c/d/linked',
    '/bin/busybox ln -s d/file /c/soft',
    '/bin/busybox chown 5:6 /c/d/e',
    '/bin/busybox chmod 2750 /c/d/e',
    '/bin/busybox mkfifo /c/pipe',
  ].join('; ');

  it('keeps a cache mount; a machine that has none takes it, as it was', async () => {
    const first = btrfsDirectory('mounts-a');
    await build(first, `,mode=0711,uid=7 ${FILL}`, ...both());
    expect(asked('PUT')).to.deep.equal([`201 cm-${KEY}`]);
    proxy.requests.length = 0;
    const second = btrfsDirectory('mounts-b');
    expect(await build(second, ',readonly cat /c/log >/out', ...both())).to.equal('one\n');
    expect([asked('HEAD'), asked('PUT')], 'it was only read').to.deep.equal([[`200 cm-${KEY}`], []]);
    expectSameTree(listTree(cacheOf(first)), listTree(cacheOf(second)));
    proxy.requests.length = 0;
    expect(await build(second, ' echo two >>/c/log; cat /c/log >/out', ...both())).to.equal('one\ntwo\n');
    expect(asked('GET'), 'it was there').to.deep.equal([]);
    expect(asked('PUT')).to.deep.equal([`201 cm-${KEY}`]);
    const third = btrfsDirectory('mounts-c');
    expect(await build(third, ' cat /c/log >/out', ...both())).to.equal('one\ntwo\n');
    // Nothing changed: nothing is sent.
    proxy.requests.length = 0;
    await build(third, ' cat /c/log >/out; echo 2 >>/out', ...both());
    expect([asked('HEAD'), asked('PUT')]).to.deep.equal([[`200 cm-${KEY}`], []]);
    expect(
      (JSON.parse(await imgtool(third, 'store', 'fsck', '--json')) as { findings: unknown[] }).findings,
    ).to.deep.equal([]);
  });

  it('takes nothing and keeps nothing without the option', async () => {
    proxy.requests.length = 0;
    const args = ['--cache-from', repository(), '--cache-to', repository()];
    expect(await build(btrfsDirectory('mounts-d'), ' cat /c/log >/out 2>/dev/null; true', ...args)).to.equal('');
    expect([asked('HEAD'), asked('GET'), asked('PUT')]).to.deep.equal([[], [], []]);
  });

  it('what cannot be unpacked is a warning, and leaves an empty cache', async () => {
    const other = `${proxy.host}/broken`;
    const put = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const begun = await fetch(`http://${served.host}/v2/broken/blobs/uploads/`, { method: 'POST' });
      const url = new URL(begun.headers.get('location')!, `http://${served.host}`);
      url.searchParams.set('digest', digest);
      await fetch(url, { method: 'PUT', body: new Uint8Array(bytes) });
      return { digest, size: bytes.length };
    };
    const type = 'application/vnd.imgtool.build.cache-mount.v1+json';
    const config = { mediaType: type, ...(await put(Buffer.from('{"version":1,"id":"pkg"}'))) };
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await put(Buffer.from('no tar'))) };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] });
    const answer = await fetch(`http://${served.host}/v2/broken/manifests/cm-${KEY}`, {
      method: 'PUT',
      headers: { 'content-type': mediaType },
      body: manifest,
    });
    expect(answer.status).to.equal(201);
    const file = join(base, 'Dockerfile.broken');
    writeFileSync(file, `FROM ${proxy.host}/base:1\nRUN --mount=type=cache,id=pkg,target=/c ls -A /c\n`);
    const root = btrfsDirectory('mounts-e');
    for (const [repo, said] of [
      [other, 'the cache mount pkg is not taken from'],
      ['127.0.0.1:1/none', 'the cache mount pkg is not taken from'],
    ] as const) {
      await imgtool(root, 'store', 'gc', '--keep-cache', '0').catch(() => undefined);
      const args = ['--root', root, '--progress', 'plain', '--retry', '0', 'build', '--no-cache', '-f', file];
      const output = await run('sh', [
        '-c',
        '"$@" 2>&1',
        'sh',
        IMGTOOL,
        ...args,
        '--cache-from',
        repo,
        '--cache-mounts',
        context,
      ]);
      expect(output)
        .to.include(said)
        .and.match(/sha256:[0-9a-f]{64}/);
    }
  });

  it('needs a repository', async () => {
    const error = (await rejection(imgtool(btrfsDirectory('mounts-f'), 'build', '--cache-mounts', context))) as Error;
    expect(error.message).to.include('(2)').and.include('--cache-from');
  });
});
