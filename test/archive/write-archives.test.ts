import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { createImageArchive, type ImageArchiveWriter } from '../../lib/archive/index.js';
import { digestOf, MEDIA_TYPE, type Descriptor, type RawManifest, type ReopenableBlob } from '../../lib/spec/index.js';
import { listWithGnuTar } from '../helpers/gnu-tar.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';

const signal = new AbortController().signal;

function blobOf(bytes: Buffer, mediaType: string, claim: Partial<Descriptor> = {}): ReopenableBlob {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length, ...claim };
  return { descriptor, open: ({ offset }) => Promise.resolve(Readable.from([bytes.subarray(offset)])) };
}

interface TestImage {
  readonly blobs: readonly ReopenableBlob[];
  readonly manifest: RawManifest;
}

function imageOf(...layers: readonly Buffer[]): TestImage {
  const diffIds = layers.map((layer) => digestOf(layer));
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
  const blobs = [...layers.map((layer) => blobOf(layer, MEDIA_TYPE.ociLayer)), blobOf(config, MEDIA_TYPE.ociConfig)];
  const descriptors = blobs.map(({ descriptor }) => descriptor);
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptors.at(-1),
    layers: descriptors.slice(0, -1),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return {
    blobs,
    manifest: { bytes, descriptor: { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(bytes), size: bytes.length } },
  };
}

async function write(archive: ImageArchiveWriter, image: TestImage, name: string): Promise<void> {
  for (const blob of image.blobs) await archive.putBlob(blob, { signal });
  await archive.putManifest(image.manifest);
  await archive.addImage(image.manifest, { name });
}

describe('archive: a dir: directory written by two at once', () => {
  let directory: string;
  beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'imgtool-dir-'))));
  afterEach(() => rm(directory, { recursive: true }));
  const open = (): Promise<ImageArchiveWriter> =>
    createImageArchive({ format: 'docker-dir', directory, signal: new AbortController().signal });

  it('has the first image whole, and the second writer of another image fails', async () => {
    const [one, two] = [imageOf(Buffer.from('one')), imageOf(Buffer.from('two'))];
    const [first, second] = [await open(), await open()];
    await write(second, two, 'two');
    await write(first, one, 'one');
    await first.finish();
    expect((await rejection(second.finish())).message).to.include('another process has written a different image');
    expect(await readFile(join(directory, 'manifest.json'))).to.deep.equal(one.manifest.bytes);
    const blobs = one.blobs.map(({ descriptor }) => descriptor.digest.replace('sha256:', ''));
    expect(await readdir(directory)).to.have.members(['manifest.json', 'version', ...blobs]);
  });

  it('takes the same image from both', async () => {
    const image = imageOf(Buffer.from('one'));
    const [first, second] = [await open(), await open()];
    for (const writer of [first, second]) await write(writer, image, 'one');
    await first.finish();
    await second.finish();
    expect(await readFile(join(directory, 'manifest.json'))).to.deep.equal(image.manifest.bytes);
  });
});

describe('archive: an OCI layout written by many at once', () => {
  let directory: string;
  beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'imgtool-layout-'))));
  afterEach(() => rm(directory, { recursive: true }));
  const open = (): Promise<ImageArchiveWriter> =>
    createImageArchive({ format: 'oci-dir', directory: join(directory, 'x'), signal: new AbortController().signal });
  const entries = async (): Promise<Descriptor[]> =>
    (JSON.parse(await readFile(join(directory, 'x/index.json'), 'utf8')) as { manifests: Descriptor[] }).manifests;

  it('has all images, each blob whole, and nothing else', async () => {
    const shared = randomBytes(300_000);
    const images = Array.from({ length: 12 }, (_, n) => imageOf(shared, Buffer.from(`layer ${n}`)));
    await Promise.all(
      images.map(async (image, n) => {
        const archive = await open();
        await write(archive, image, `example.com/app:${n}`);
        await archive.finish();
      }),
    );
    expect((await entries()).map(({ digest }) => digest)).to.have.members(
      images.map(({ manifest }) => manifest.descriptor.digest),
    );
    expect((await readdir(join(directory, 'x'))).sort()).to.deep.equal(['blobs', 'index.json', 'oci-layout']);
    for (const name of await readdir(join(directory, 'x/blobs/sha256'))) {
      const bytes = await readFile(join(directory, 'x/blobs/sha256', name));
      expect(createHash('sha256').update(bytes).digest('hex')).to.equal(name);
    }
  });

  it('a name moves to the image that takes it; what others wrote beside it stays', async () => {
    for (const [image, name] of [
      [imageOf(Buffer.from('a')), 'h.io/a:1'],
      [imageOf(Buffer.from('b')), 'h.io/b:1'],
      [imageOf(Buffer.from('c')), 'h.io/a:1'],
    ] as const) {
      const archive = await open();
      await write(archive, image, name);
      await archive.finish();
    }
    const named = (await entries()).map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name']);
    expect(named).to.deep.equal(['h.io/b:1', 'h.io/a:1']);
  });

  it('what a killed writer left goes away, what a living one writes does not', async () => {
    await (await open()).finish();
    for (const name of ['0123456789abcdef01234567', 'index.json-0123456789ab'])
      await writeFile(join(directory, `x/.new-${name}`), 'left');
    const others = '.new-app.tar-0123456789ab';
    await writeFile(join(directory, 'x', others), 'a save beside the layout');
    const living = await open();
    let go!: () => void;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const bytes = randomBytes(1000);
    const slow: ReopenableBlob = {
      ...blobOf(bytes, 'x/y'),
      open: () =>
        Promise.resolve(
          Readable.from(
            (async function* () {
              yield bytes.subarray(0, 500);
              await gate;
              yield bytes.subarray(500);
            })(),
          ),
        ),
    };
    const put = living.putBlob(slow, { signal });
    const temporary = async (): Promise<string[]> =>
      (await readdir(join(directory, 'x'))).filter((name) => name.startsWith('.new-') && name !== others);
    while ((await temporary()).length === 0) await new Promise(setImmediate);
    await open();
    expect(await temporary()).to.have.length(1);
    go();
    await put;
    expect(await temporary()).to.deep.equal([]);
    expect(await living.has(slow.descriptor)).to.equal(true);
    expect(await readdir(join(directory, 'x'))).to.include(others);
  });

  it('a directory with other things in it is left alone', async () => {
    await mkdir(join(directory, 'x'));
    const names = ['.new-0123456789abcdef01234567', 'precious'];
    for (const name of names) await writeFile(join(directory, 'x', name), 'mine');
    expect((await rejection(open())).message).to.match(/contains other files/);
    expect((await readdir(join(directory, 'x'))).sort()).to.deep.equal(names);
  });

  it('a blob that is not what its descriptor says gets no name', async () => {
    const archive = await open();
    const wrong = blobOf(Buffer.from('bytes'), 'x/y', { digest: digestOf('others') });
    expect((await rejection(archive.putBlob(wrong, { signal }))).name).to.equal('DigestMismatchError');
    const long = blobOf(Buffer.from('bytes'), 'x/y', { size: 3 });
    expect((await rejection(archive.putBlob(long, { signal }))).name).to.equal('SizeMismatchError');
    expect(await readdir(join(directory, 'x/blobs/sha256'))).to.deep.equal([]);
    expect((await readdir(join(directory, 'x'))).sort()).to.deep.equal(['blobs', 'oci-layout']);
  });
});

describe('archive: one file', () => {
  async function tarOf(format: 'oci-archive' | 'docker-archive', mtime?: number): Promise<Buffer> {
    const output = new PassThrough();
    const whole = buffer(output);
    const archive = await createImageArchive({ format, output, mtime });
    const [first, second] = [imageOf(Buffer.from('a'), Buffer.from('b')), imageOf(Buffer.from('a'), Buffer.from('c'))];
    await write(archive, first, 'h.io/a:1');
    await write(archive, second, 'h.io/b:1');
    await archive.addImage(first.manifest, { name: 'h.io/a:2' });
    await archive.finish();
    return whole;
  }

  for (const format of ['oci-archive', 'docker-archive'] as const)
    it(`${format}: the same bytes each time, each blob once, as GNU tar reads it`, async () => {
      const tar = await tarOf(format);
      expect(tar.equals(await tarOf(format))).to.equal(true);
      const { status, output, errors } = listWithGnuTar(tar);
      expect([status, errors]).to.deep.equal([0, '']);
      const names = output
        .trim()
        .split('\n')
        .map((line) => line.split(' ').at(-1)!);
      expect(new Set(names).size).to.equal(names.length);
      expect(names.filter((name) => /sha256\/./.test(name))).to.have.length(3 + 2 + 2);
      expect(output).to.include('1970-01-01').and.not.include('root');
      expect(listWithGnuTar(await tarOf(format, 1_600_000_000)).output).to.include('2020-09-13');
    });

  it('a blob that is not what its descriptor says ends it', async () => {
    const output = new PassThrough();
    output.on('error', () => undefined).resume();
    const archive = await createImageArchive({ format: 'oci-archive', output });
    const wrong = blobOf(Buffer.from('bytes'), 'x/y', { digest: digestOf('others') });
    expect((await rejection(archive.putBlob(wrong, { signal }))).name).to.equal('DigestMismatchError');
    await archive.discard();
    expect(output.destroyed).to.equal(true);
  });

  it('an output that fails is what is told', async () => {
    const output = new PassThrough();
    const archive = await createImageArchive({ format: 'oci-archive', output });
    const put = archive.putBlob(blobOf(randomBytes(1 << 20), 'x/y'), { signal });
    output.destroy(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    expect((await rejection(put)).message).to.equal('no space');
    await archive.discard();
  });

  it('skopeo finds every image by its name', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-tar-'));
    const path = join(directory, 'a.tar');
    await writeFile(path, await tarOf('docker-archive'));
    for (const name of ['h.io/a:1', 'h.io/a:2', 'h.io/b:1']) {
      const text = await run('skopeo', [
        '--insecure-policy',
        'inspect',
        '--config',
        '--raw',
        `docker-archive:${path}:${name}`,
      ]);
      expect((JSON.parse(text) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids).to.have.length(2);
    }
    await rm(directory, { recursive: true });
  });
});
