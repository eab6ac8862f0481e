import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout, type ImageTable } from '../helpers/oci-layout.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { startRecordingProxy, type RecordingProxy } from '../helpers/recording-proxy.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { smallImage } from '../helpers/small-image.js';

interface Index {
  readonly mediaType: string;
  readonly manifests: readonly {
    readonly mediaType: string;
    readonly digest: string;
    readonly platform: { readonly os: string; readonly architecture: string };
  }[];
}

const PLATFORMS = ['amd64', 'arm64'] as const;
const EPOCH = '1750000000';

/** The first bytes of a program for arm64 (elf.h), which no machine but that runs without emulation. */
const ARM_PROGRAM = Buffer.concat([
  Buffer.from('7f454c46020101000000000000000000', 'hex'),
  Buffer.from('0200b700010000000000400000000000', 'hex'),
  Buffer.alloc(96),
]);

describe('build for several platforms', function () {
  this.timeout(180_000);
  let base: string;
  let context: string;
  let served: Served;
  let proxy: RecordingProxy;
  let podman: Podman;

  before(async () => {
    base = mkdtempSync(join(tmpdir(), 'imgtool-platforms-'));
    context = join(base, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'file'), 'content\n');
    const busybox = await readFile('/bin/busybox');
    // The programs of both are those of this machine, as if it emulated the other.
    const images = PLATFORMS.map((architecture): ImageTable => {
      const image = smallImage(busybox);
      const own = { createdBy: 'its platform', entries: [{ path: 'etc/arch', content: architecture }] };
      return { ...image, platform: { os: 'linux', architecture }, layers: [...image.layers, own] };
    });
    const foreign: ImageTable = {
      tag: 'foreign',
      platform: { os: 'linux', architecture: 'arm64' },
      layers: [
        {
          entries: [
            { path: 'bin', type: 'dir' },
            { path: 'bin/sh', mode: 0o755, content: ARM_PROGRAM },
          ],
        },
      ],
    };
    await writeOciLayout(join(base, 'layout'), [...images, foreign]);
    served = await startServe(join(base, 'registry'));
    for (const [tag, name] of [
      [images[0]!.tag, 'base:1'],
      ['foreign', 'foreign:1'],
    ])
      await imgtool(
        join(base, 'none'),
        'copy',
        '--all',
        `oci:${base}/layout:${tag}`,
        `docker://${served.host}/${name}`,
      );
    proxy = await startRecordingProxy(served.host);
    podman = await makePodman();
    process.env.SOURCE_DATE_EPOCH = EPOCH;
  });
  after(async () => {
    delete process.env.SOURCE_DATE_EPOCH;
    await podman.remove();
    await proxy.close();
    await served.stop();
    await rm(base, { recursive: true, force: true });
  });

  const dockerfile = (...lines: readonly string[]): string => {
    const path = join(base, `Dockerfile-${createHash('sha256').update(lines.join()).digest('hex').slice(0, 12)}`);
    writeFileSync(path, `${lines.join('\n').replaceAll('BASE', `${proxy.host}/base:1`)}\n`);
    return path;
  };
  const withoutRun = (): string =>
    dockerfile(
      'FROM --platform=$BUILDPLATFORM BASE AS tools',
      'COPY file /made',
      'FROM BASE',
      'ARG TARGETPLATFORM TARGETARCH',
      'COPY <<EOF /platform',
      '$TARGETPLATFORM $TARGETARCH',
      'EOF',
      'COPY --from=tools /made /etc/arch /tools/',
    );
  const both = ['--platform', PLATFORMS.map((architecture) => `linux/${architecture}`).join(',')];
  const raw = (name: string): Promise<string> =>
    run('skopeo', ['inspect', '--raw', ...(name.startsWith('docker:') ? ['--tls-verify=false'] : []), name]);
  const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  /** What podman finds in the image of each platform. */
  const pulled = async (reference: string, ...paths: readonly string[]): Promise<string[]> => {
    const found: string[] = [];
    for (const architecture of PLATFORMS) {
      const id = await podman.pull(reference, '--platform', `linux/${architecture}`);
      const files = await podman.mountImage(id);
      found.push(paths.map((path) => readFileSync(join(files, path), 'utf8').trim()).join(' '));
      await podman.podman('image', 'umount', '--force', id);
    }
    return found;
  };

  it('pushes an index without a store; its files tell the digest of the index', async () => {
    const none = join(base, 'none');
    const reference = `${proxy.host}/app:1`;
    const files = { iid: join(base, 'iid'), digest: join(base, 'digest'), metadata: join(base, 'metadata') };
    const id = await imgtool(
      none,
      ...['build', '-f', withoutRun(), '-t', reference, '--push', ...both, '--iidfile', files.iid],
      ...['--digest-file', files.digest, '--metadata-file', files.metadata, context],
    );
    expect(existsSync(none)).to.equal(false);
    const text = await raw(`docker://${reference}`);
    expect(digestOf(text)).to.equal(id);
    const { mediaType, manifests } = JSON.parse(text) as Index;
    expect(mediaType).to.equal('application/vnd.oci.image.index.v1+json');
    expect(manifests.map(({ platform }) => platform.architecture)).to.deep.equal([...PLATFORMS]);
    expect([readFileSync(files.iid, 'utf8'), readFileSync(files.digest, 'utf8')]).to.deep.equal([id, id]);
    expect(JSON.parse(readFileSync(files.metadata, 'utf8'))).to.deep.equal({
      'containerimage.digest': id,
      'image.name': reference,
    });
    expect(await pulled(reference, 'platform', 'etc/arch', 'tools/made', 'tools/arch')).to.deep.equal([
      'linux/amd64 amd64 amd64 content amd64',
      'linux/arm64 arm64 arm64 content amd64',
    ]);
  });

  it('gives the same index in a store, which pushes it and writes it as archive and layout', async () => {
    const root = btrfsDirectory('platforms');
    const [archive, layout] = [join(base, 'app.oci'), join(base, 'app-layout')];
    const id = await imgtool(
      root,
      ...['build', '-f', withoutRun(), '-t', `${proxy.host}/app:2`, '-t', `${proxy.host}/other:2`],
      ...['--platform', 'linux/amd64', '--platform', 'linux/arm64', '--push'],
      ...['-o', `type=oci,dest=${archive}`, '-o', `type=oci,tar=false,dest=${layout}`, '-o', 'type=image', context],
    );
    const text = await raw(`docker://${proxy.host}/app:1`);
    expect(digestOf(text)).to.equal(id);
    for (const name of [
      `docker://${proxy.host}/app:2`,
      `docker://${proxy.host}/other:2`,
      `oci-archive:${archive}:2`,
      `oci:${layout}:2`,
    ])
      expect(await raw(name), name).to.equal(text);
    for (const architecture of PLATFORMS)
      await run('skopeo', [
        ...['--insecure-policy', 'copy', '--quiet', '--override-arch', architecture],
        ...[`oci-archive:${archive}:2`, `dir:${join(base, `dir-${architecture}`)}`],
      ]);
    const images = JSON.parse(await imgtool(root, 'images', '--json')) as { names: string[]; platform: string }[];
    const named = images.filter(({ names }) => names.length > 0 && names[0]!.endsWith(':2'));
    expect(named.map(({ platform }) => platform)).to.deep.equal(['linux/amd64']);
    expect(
      (JSON.parse(await imgtool(root, 'store', 'fsck', '--json')) as { findings: unknown[] }).findings,
    ).to.deep.equal([]);
    await imgtool(root, 'copy', '--all', `store:${proxy.host}/app:2`, `docker://${proxy.host}/copied:1`);
    expect(await raw(`docker://${proxy.host}/copied:1`)).to.equal(text);
    await imgtool(root, 'copy', `store:${proxy.host}/app:2`, `docker://${proxy.host}/copied:2`);
    expect(await raw(`docker://${proxy.host}/copied:2`)).to.include('"config"');
    // Nothing changed: nothing is done.
    expect(await imgtool(root, 'build', '-f', withoutRun(), ...both, context)).to.equal(id);
  });

  it('runs commands for each platform; Docker’s format gives a manifest list', async () => {
    const root = btrfsDirectory('platforms');
    const reference = `${proxy.host}/app:3`;
    const file = dockerfile('FROM BASE', 'ARG TARGETARCH', 'RUN echo $TARGETARCH $(cat /etc/arch) >/ran');
    const said = await imgtool(
      root,
      ...['build', '-f', file, '-t', reference, '--push', '--format', 'docker', '--json', ...both, context],
    );
    const result = JSON.parse(said) as {
      digest: string;
      platform: string;
      steps: { stage: string; cached: boolean }[];
      images: { platform: string; digest: string }[];
    };
    expect(result.platform).to.equal('linux/amd64,linux/arm64');
    expect(result.steps.map(({ stage }) => stage)).to.deep.equal(['linux/amd64 stage-0', 'linux/arm64 stage-0']);
    const text = await raw(`docker://${reference}`);
    expect(digestOf(text)).to.equal(result.digest);
    const { mediaType, manifests } = JSON.parse(text) as Index;
    expect(mediaType).to.equal('application/vnd.docker.distribution.manifest.list.v2+json');
    expect(manifests.map(({ digest }) => digest)).to.deep.equal(result.images.map(({ digest }) => digest));
    expect(await pulled(reference, 'ran')).to.deep.equal(['amd64 amd64', 'arm64 arm64']);
  });

  it('takes the steps of all platforms from a remote cache without fetching a layer', async () => {
    const cache = `${proxy.host}/cache`;
    const build = (tag: string): Promise<string> =>
      imgtool(
        join(base, 'none'),
        ...['build', '-f', withoutRun(), '-t', `${proxy.host}/${tag}`, '--push', ...both],
        ...['--cache-from', cache, '--cache-to', cache, context],
      );
    const id = await build('cached:1');
    proxy.requests.length = 0;
    expect(await build('again:1')).to.equal(id);
    const read = proxy.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));
    // A config and the record of a step for each platform, and the config of the base for this machine, which both use.
    expect(new Set(read.map(({ path }) => path)).size).to.be.at.most(2 * PLATFORMS.length);
    expect(read.every(({ sent }) => sent < 10_000)).to.equal(true);
  });

  it('refuses a RUN for a foreign platform without emulation, and outputs for one platform', async () => {
    const root = btrfsDirectory('platforms');
    const foreign = dockerfile(`FROM ${proxy.host}/foreign:1`, 'RUN true');
    const error = (await rejection(
      imgtool(root, 'build', '-f', foreign, '--platform', 'linux/arm64', context),
    )) as Error;
    expect(error.message)
      .to.match(/\(1\).*arm64/s)
      .and.include('binfmt');
    for (const output of ['type=docker,dest=x', 'type=tar,dest=x', 'x']) {
      const refused = (await rejection(
        imgtool(root, 'build', '-f', withoutRun(), ...both, '-o', output, context),
      )) as Error;
      expect(refused.message).to.include('holds one platform only').and.include('(2)');
    }
    expect(((await rejection(imgtool(root, 'build', '--platform', 'a b', context))) as Error).message).to.include(
      'is not a platform',
    );
  });
});
