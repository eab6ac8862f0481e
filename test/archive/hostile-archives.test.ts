import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { openImageArchive, type ImageArchive } from '../../lib/archive/index.js';
import { exitCodeOf } from '../../lib/cli/index.js';
import type { Descriptor, Digest } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';

const signal = new AbortController().signal;
const sha256 = (bytes: string | Buffer): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
const file = (path: string, content: unknown): TarEntry => ({
  path,
  content: typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content),
});

const LAYER = writeTar([{ path: 'x', content: 'hello' }]);
const CONFIG = JSON.stringify({
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [sha256(LAYER)] },
});
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(CONFIG), size: CONFIG.length },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256(LAYER), size: LAYER.length }],
});
const ENTRY: Descriptor = {
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: sha256(MANIFEST),
  size: MANIFEST.length,
};
const blob = (content: string | Buffer): TarEntry => file(`blobs/sha256/${sha256(content).slice(7)}`, content);
const layout = file('oci-layout', { imageLayoutVersion: '1.0.0' });
const index = file('index.json', { schemaVersion: 2, manifests: [ENTRY] });
const OCI = [layout, index, blob(LAYER), blob(CONFIG), blob(MANIFEST)];
const listing = (more: object = {}): TarEntry =>
  file('manifest.json', [{ Config: 'c.json', RepoTags: ['a:1'], Layers: ['l/layer.tar'], ...more }]);
const DOCKER = [listing(), file('c.json', CONFIG), file('l/layer.tar', LAYER)];

/** Opens a tar and reads all of it, as whoever loads it does. */
async function readAll(tar: Buffer): Promise<void> {
  const archive = await open(tar);
  try {
    for (const { descriptor } of archive.images) {
      const document = JSON.parse((await archive.manifest(descriptor.digest)).bytes.toString()) as Record<
        string,
        unknown
      >;
      for (const described of [document.config, ...(document.layers as unknown[])] as Descriptor[]) {
        const chunks: Buffer[] = [];
        for await (const chunk of await archive.blob(described).open({ signal, offset: 0 }))
          chunks.push(chunk as Buffer);
        expect(sha256(Buffer.concat(chunks))).to.equal(described.digest);
      }
    }
  } finally {
    await archive.close();
  }
}

function open(tar: Buffer): Promise<ImageArchive> {
  return openImageArchive({ source: Readable.from([tar]), title: 'the pipe', temporaryDirectory: tmpdir(), signal });
}

describe('archive: what is read', () => {
  for (const [title, bytes] of [
    ['an OCI layout', writeTar(OCI)],
    ['an OCI layout whose names begin with ./', writeTar(OCI.map((entry) => ({ ...entry, path: `./${entry.path}` })))],
    ['a docker-archive', writeTar(DOCKER)],
    ['one whose layer is compressed', writeTar([...DOCKER.slice(0, 2), file('l/layer.tar', gzipSync(LAYER))])],
    [
      'one whose layer is a link',
      writeTar([...DOCKER.slice(0, 2), file('b', LAYER), { path: 'l/layer.tar', type: 'link', target: '../b' }]),
    ],
    [
      'one whose layer is a hard link',
      writeTar([...DOCKER.slice(0, 2), file('b', LAYER), { path: 'l/layer.tar', type: 'hardlink', target: 'b' }]),
    ],
    [
      'one with a layer of no byte (rules_docker)',
      writeTar([
        listing(),
        file('c.json', CONFIG.replace(sha256(LAYER), sha256(Buffer.alloc(0)))),
        file('l/layer.tar', ''),
      ]),
    ],
    ['one compressed with gzip', gzipSync(writeTar(DOCKER))],
  ] as const)
    it(title, () => readAll(bytes));

  it('names are full references; a tag alone names no repository', async () => {
    const named = (name: string): Descriptor => ({
      ...ENTRY,
      annotations: { 'org.opencontainers.image.ref.name': name },
    });
    const manifests = ['1.0', 'app:2', 'Not A Name:/', 'localhost:5000/x:3'].map(named);
    const archive = await open(writeTar([layout, file('index.json', { manifests }), ...OCI.slice(2)]));
    expect(archive.images).to.have.length(1);
    expect(archive.images[0]?.names).to.deep.equal(['docker.io/library/app:2', 'localhost:5000/x:3']);
    expect(archive.images[0]?.refNames).to.have.length(4);
    await archive.close();
  });

  it('where an OCI layout has a manifest.json too, its names count', async () => {
    const config = `blobs/sha256/${sha256(CONFIG).slice(7)}`;
    const archive = await open(writeTar([...OCI, listing({ Config: config, Layers: [] })]));
    expect(archive.format).to.equal('oci-archive');
    expect(archive.images[0]?.names).to.deep.equal(['docker.io/library/a:1']);
    await archive.close();
  });
});

describe('archive: what is refused, with exit 6', () => {
  const cases: readonly (readonly [title: string, tar: () => Buffer, message: RegExp])[] = [
    ['a name that leads out', () => writeTar([...OCI, file('../x', '')]), /leads outside/],
    ['a name in the middle that leads out', () => writeTar([...OCI, file('a/../../x', '')]), /leads out/],
    ['an absolute name', () => writeTar([...OCI, file('/etc/passwd', '')]), /leads out/],
    ['a link that leads out', () => writeTar([...OCI, { path: 'a/b', type: 'link', target: '../../x' }]), /leads out/],
    ['an absolute link', () => writeTar([...OCI, { path: 'a', type: 'link', target: '/etc/passwd' }]), /leads out/],
    [
      'links in a circle',
      () =>
        writeTar([
          ...DOCKER.slice(0, 2),
          { path: 'l/layer.tar', type: 'link', target: '../m' },
          { path: 'm', type: 'link', target: 'l/layer.tar' },
        ]),
      /endless chain/,
    ],
    [
      'an image of 100,000 names',
      () => writeTar([listing({ RepoTags: Array.from({ length: 100_000 }, (_, i) => `a:${i}`) }), ...DOCKER.slice(1)]),
      /over 1000 names/,
    ],
    [
      'an image of 100,000 names in a layout',
      () => {
        const manifests = Array.from({ length: 1001 }, (_, i) => ({
          ...ENTRY,
          annotations: { 'org.opencontainers.image.ref.name': `a:${i}` },
        }));
        return writeTar([layout, file('index.json', { manifests }), ...OCI.slice(2)]);
      },
      /over 1000 names/,
    ],
    [
      'a v1 archive of 100,000 tags',
      () => {
        const tags = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`${i}`, 'a'.repeat(64)]));
        return writeTar([file('repositories', { app: tags })]);
      },
      /over 1000 names/,
    ],
    [
      'an image of 100,000 layers',
      () => writeTar([listing({ Layers: Array<string>(100_000).fill('l/layer.tar') }), ...DOCKER.slice(1)]),
      /over 1024 layers/,
    ],
    [
      'a config with a field of the wrong type',
      () => writeTar([listing(), file('c.json', { ...JSON.parse(CONFIG), config: { Env: 'A=b' } }), DOCKER[2]!]),
      /has a bad config\.Env: it is a string, not a list/,
    ],
    ['a member twice', () => writeTar([...OCI, index]), /two members/],
    ['a device', () => writeTar([...OCI, { path: 'null', type: 'char', device: [1, 3] }]), /neither a file nor a link/],
    ['a blob that is missing', () => writeTar(OCI.filter((entry) => entry.content !== LAYER)), /has no blobs/],
    ['a manifest that is missing', () => writeTar(OCI.slice(0, 4)), /has no blobs/],
    [
      'a blob of another size',
      () => writeTar([...OCI.slice(0, 2), blob(CONFIG), blob(MANIFEST), { ...blob(LAYER), content: 'x' }]),
      /1 bytes/,
    ],
    [
      'a manifest of another digest',
      () => writeTar([...OCI.slice(0, 4), { ...blob(MANIFEST), content: MANIFEST.replace('2', '3') }]),
      /digest/,
    ],
    [
      'a layout of version 2',
      () => writeTar([file('oci-layout', { imageLayoutVersion: '2.0.0' }), ...OCI.slice(1)]),
      /version/,
    ],
    ['an index.json that is no list', () => writeTar([layout, file('index.json', {})]), /no list/],
    ['an index.json of 5 MB', () => writeTar([layout, file('index.json', ' '.repeat(5e6))]), /over the limit/],
    [
      'a manifest.json that leads out',
      () => writeTar([listing({ Config: '../c.json' }), ...DOCKER.slice(1)]),
      /leads out/,
    ],
    ['a layer that is missing', () => writeTar(DOCKER.slice(0, 2)), /has no l\/layer.tar/],
    ['a config that is missing', () => writeTar([listing(), DOCKER[2]!]), /has no c.json/],
    [
      'more layers than the config has',
      () => writeTar([listing({ Layers: ['l/layer.tar', 'l/layer.tar'] }), ...DOCKER.slice(1)]),
      /names 1 layers/,
    ],
    ['a name that is none', () => writeTar([listing({ RepoTags: ['A B'] }), ...DOCKER.slice(1)]), /an invalid name/],
    [
      'a config of another digest than its name',
      () =>
        writeTar([listing({ Config: `${'0'.repeat(64)}.json` }), file(`${'0'.repeat(64)}.json`, CONFIG), DOCKER[2]!]),
      /digest/,
    ],
    ['an archive that is cut off', () => writeTar(OCI).subarray(0, 3000), /damaged/],
    ['gzip that is cut off', () => gzipSync(writeTar(OCI)).subarray(0, 200), /damaged/],
    ['no tar at all', () => Buffer.from('no tar '.repeat(1000)), /not an image archive/],
    ['nothing', () => Buffer.alloc(0), /not an image archive/],
    ['a tar of something else', () => LAYER, /not an image archive/],
    ['xz', () => Buffer.from('fd377a585a00000000', 'hex'), /xz/],
  ];
  for (const [title, tar, message] of cases)
    it(title, async () => {
      const error = await rejection(readAll(tar()));
      expect(error.message).to.match(message);
      expect(exitCodeOf(error), error.stack).to.equal(6);
    });

  it('a member of 2^60 bytes in a tar that ends before', async () => {
    const tar = writeTar([...OCI, file('big', 'x')]);
    const at = tar.indexOf('big\0');
    const size = Buffer.alloc(12);
    size[0] = 0x80;
    size[4] = 0x10;
    size.copy(tar, at + 124);
    tar.fill(' ', at + 148, at + 156);
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
    expect(exitCodeOf(await rejection(readAll(tar)))).to.equal(6);
  });

  describe('in a directory', () => {
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'imgtool-layout-'));
      await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
      for (const { path, content } of OCI) await writeFile(join(directory, path), content ?? '');
    });
    afterEach(() => rm(directory, { recursive: true }));
    const openDirectory = (): Promise<ImageArchive> =>
      openImageArchive({ source: directory, title: directory, temporaryDirectory: tmpdir(), signal });

    it('a blob that is a link is not followed', async () => {
      const path = join(directory, blob(CONFIG).path);
      await rm(path);
      await symlink('/etc/passwd', path);
      const archive = await openDirectory();
      const descriptor = { mediaType: 'x', digest: sha256(CONFIG), size: CONFIG.length };
      const error = await rejection(archive.blob(descriptor).open({ signal, offset: 0 }));
      expect(error.message).to.match(/not a regular file/);
      expect(exitCodeOf(error)).to.equal(6);
    });

    it('what it should be is read', async () => {
      const archive = await openDirectory();
      expect((await archive.manifest(ENTRY.digest)).bytes.toString()).to.equal(MANIFEST);
      expect(archive.format).to.equal('oci-dir');
    });
  });

  it('a full temporary directory is what is told, however the bytes come', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-full-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]);
    try {
      // Half of the write fits: the kernel takes that much, and says so.
      const bytes = writeTar([{ path: 'x', content: Buffer.alloc(128 * 1024) }]);
      const source = Readable.from([bytes]);
      const error = await rejection(openImageArchive({ source, title: 'x', temporaryDirectory: directory, signal }));
      expect((error as NodeJS.ErrnoException).code).to.equal('ENOSPC');
    } finally {
      await run('umount', [directory]);
      await rm(directory, { recursive: true });
    }
  });

  it('nothing stays in the temporary directory', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-spool-'));
    const source = (): Readable => Readable.from([writeTar(OCI)]);
    const archive = await openImageArchive({ source: source(), title: 'x', temporaryDirectory: directory, signal });
    expect(await readdir(directory)).to.deep.equal([]);
    await archive.close();
    await rm(directory, { recursive: true });
  });
});
