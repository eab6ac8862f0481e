import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { extract } from 'tar-stream';
import { createImageArchive, openImageArchive, type ImageArchive } from '../../lib/archive/index.js';
import { exitCodeOf } from '../../lib/cli/index.js';
import {
  digestOf,
  MEDIA_TYPE,
  parseManifest,
  type Descriptor,
  type Digest,
  type ImageManifest,
  type RawManifest,
  type ReopenableBlob,
} from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';
import { zstdCompress } from '../helpers/zstd.js';

const signal = new AbortController().signal;
const hex = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];
const [ONE, TWO] = ['one', 'two'].map((path) => writeTar([{ path, content: path }])) as [Buffer, Buffer];
const EMPTY = Buffer.alloc(1024);

/** The members of one v1 image. */
function v1(id: string, parent: string | undefined, layer: Buffer | string, more: object = {}): TarEntry[] {
  const json = JSON.stringify({ id, ...(parent === undefined ? {} : { parent }), ...more });
  const last: TarEntry =
    typeof layer === 'string'
      ? { path: `${id}/layer.tar`, type: 'link', target: layer }
      : { path: `${id}/layer.tar`, content: layer };
  return [
    { path: `${id}/`, type: 'dir' },
    { path: `${id}/VERSION`, content: '1.0' },
    { path: `${id}/json`, content: json },
    last,
  ];
}
const repositories = (table: unknown): TarEntry => ({ path: 'repositories', content: JSON.stringify(table) });

function open(entries: readonly TarEntry[] | Buffer): Promise<ImageArchive> {
  const bytes = Buffer.isBuffer(entries) ? entries : writeTar(entries);
  return openImageArchive({ source: Readable.from([bytes]), title: 'the pipe', temporaryDirectory: tmpdir(), signal });
}

/** The bytes of all blobs of an image, read and compared with their digests. */
async function blobsOf(
  archive: ImageArchive,
  digest: Digest,
): Promise<{ manifest: ImageManifest; config: Record<string, unknown>; layers: Buffer[] }> {
  const raw = await archive.manifest(digest);
  const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType, 'x') as ImageManifest;
  const read = async (descriptor: Descriptor): Promise<Buffer> => {
    const bytes = await buffer(await archive.blob(descriptor).open({ signal, offset: 0 }));
    expect([`sha256:${hex(bytes)}`, bytes.length]).to.deep.equal([descriptor.digest, descriptor.size]);
    return bytes;
  };
  const layers = await Promise.all(manifest.layers.map(read));
  return { manifest, config: JSON.parse((await read(manifest.config)).toString()) as Record<string, unknown>, layers };
}

describe('archive: v1 images', () => {
  it('a chain with a name, a compressed layer, an empty one and a linked one', async () => {
    const leaf = {
      created: '2014-01-01T00:00:00Z',
      container_config: { Cmd: ['sh', '-c', 'x'] },
      config: { Cmd: ['sh'] },
    };
    const archive = await open([
      ...v1(C, B, `../${A}/layer.tar`, leaf),
      ...v1(A, undefined, gzipSync(ONE)),
      ...v1(B, A, Buffer.alloc(0)),
      repositories({ 'old/app': { '1': C }, 'localhost:5000/app': { '2': C } }),
    ]);
    expect(archive.format).to.equal('v1');
    expect(archive.images.map(({ names }) => names)).to.deep.equal([['docker.io/old/app:1', 'localhost:5000/app:2']]);
    const { config, layers } = await blobsOf(archive, archive.images[0]!.descriptor.digest);
    expect(layers).to.deep.equal([gzipSync(ONE), EMPTY, gzipSync(ONE)]);
    expect(config).to.deep.include({ os: 'linux', architecture: 'amd64', config: { Cmd: ['sh'] } });
    expect(config.rootfs).to.deep.equal({
      type: 'layers',
      diff_ids: [ONE, EMPTY, ONE].map((tar) => `sha256:${hex(tar)}`),
    });
    expect(config.history).to.deep.equal([{}, {}, { created: leaf.created, created_by: 'sh -c x' }]);
    await archive.close();
  });

  it('without names: the images that no other is built on', async () => {
    const archive = await open([...v1(B, A, TWO), ...v1(A, undefined, ONE), ...v1(C, A, ONE)]);
    expect(archive.images.map(({ names }) => names)).to.deep.equal([[], []]);
    await archive.close();
  });

  for (const [title, entries, message] of [
    ['a parent that is missing', [...v1(B, A, TWO)], /has no a+\/json/],
    [
      'images that are each other’s parents',
      [...v1(A, B, ONE), ...v1(B, A, TWO), repositories({ x: { '1': A } })],
      /parents of each other/,
    ],
    ['an ID that is none', [...v1(A, undefined, ONE), repositories({ x: { '1': '../etc' } })], /not a table/],
    [
      'a JSON of another image',
      [...v1(A, undefined, ONE).slice(0, 2), { path: `${A}/json`, content: JSON.stringify({ id: B }) }],
      /has the id/,
    ],
    ['a table that is none', [...v1(A, undefined, ONE), repositories([1])], /not a table/],
    ['a name that is none', [...v1(A, undefined, ONE), repositories({ 'A B': { '1': A } })], /an invalid name/],
    ['a layer that leads out', v1(A, undefined, `../../${A}/layer.tar`), /leads out/],
    ['a layer of xz', v1(A, undefined, Buffer.from('fd377a585a0000', 'hex')), /xz/],
  ] as const)
    it(`${title}: exit 6`, async () => {
      const error = await rejection(open(entries));
      expect(error.message).to.match(message);
      expect(exitCodeOf(error), error.stack).to.equal(6);
    });

  it('what is written is read by both ways, layers uncompressed, IDs as docker gives them', async () => {
    const source = await open([
      {
        path: 'manifest.json',
        content: JSON.stringify([{ Config: 'c', RepoTags: ['app:1'], Layers: ['1', '2', '3'] }]),
      },
      {
        path: 'c',
        content: JSON.stringify({
          os: 'linux',
          architecture: 'arm64',
          author: 'me',
          rootfs: { type: 'layers', diff_ids: [ONE, TWO, ONE].map((tar) => `sha256:${hex(tar)}`) },
        }),
      },
      { path: '1', content: gzipSync(ONE) },
      { path: '2', content: zstdCompress(TWO) },
      { path: '3', content: ONE },
    ]);
    const image = source.images[0]!;
    const manifest = await source.manifest(image.descriptor.digest);
    const { config, layers } = parseManifest(manifest.bytes, manifest.descriptor.mediaType, 'x') as ImageManifest;
    const output = new PassThrough();
    const whole = buffer(output);
    const writer = await createImageArchive({ format: 'v1', output, temporaryDirectory: tmpdir() });
    for (const blob of [...layers, config]) await writer.putBlob(source.blob(blob), { signal });
    await writer.putManifest(manifest);
    await writer.addImage(manifest, { name: image.names[0] });
    await writer.finish();
    const tar = await whole;

    const members = await readTar(tar);
    const ids = [hex(ONE), hex(`sha256:${hex(ONE)} sha256:${hex(TWO)}`), config.digest.slice(7)];
    expect(JSON.parse(members.get('repositories')!)).to.deep.equal({ app: { '1': ids[2] } });
    expect(members.get(`${ids[0]}/json`)).to.equal(JSON.stringify({ id: ids[0] }));
    expect(members.get(`${ids[1]}/json`)).to.equal(JSON.stringify({ id: ids[1], parent: ids[0] }));
    expect(JSON.parse(members.get(`${ids[2]}/json`)!)).to.deep.equal({
      os: 'linux',
      architecture: 'arm64',
      author: 'me',
      id: ids[2],
      parent: ids[1],
    });
    expect(members.get(`${ids[2]}/VERSION`)).to.equal('1.0');
    expect(members.get(`${ids[2]}/layer.tar`)).to.equal(`-> ../${hex(ONE)}.tar`);

    const modern = await open(tar);
    expect(modern.format).to.equal('docker-archive');
    const read = await blobsOf(modern, modern.images[0]!.descriptor.digest);
    expect(read.manifest.config.digest).to.equal(config.digest);
    expect(read.layers).to.deep.equal([ONE, TWO, ONE]);
    await modern.close();

    const old = await open(
      writeTar(
        [...members]
          .filter(([name]) => name !== 'manifest.json')
          .map(([path, content]): TarEntry =>
            content.startsWith('-> ')
              ? { path, type: 'link', target: content.slice(3) }
              : { path, content: Buffer.from(content, 'latin1') },
          ),
      ),
    );
    expect(old.format).to.equal('v1');
    expect(old.images[0]?.names).to.deep.equal(['docker.io/library/app:1']);
    expect((await blobsOf(old, old.images[0]!.descriptor.digest)).layers).to.deep.equal([ONE, TWO, ONE]);
    await old.close();
    await source.close();
  });

  it('a v1 image is what it was, another one of the same ID goes under new IDs', async () => {
    const output = new PassThrough();
    const whole = buffer(output);
    const writer = await createImageArchive({ format: 'v1', output, temporaryDirectory: tmpdir() });
    const [first, second] = await Promise.all(
      [ONE, TWO].map((layer, i) =>
        open(
          [
            ...v1(B, A, i === 0 ? Buffer.alloc(0) : TWO, { created: '2014-01-01T00:00:00Z', unheard: [1] }),
            ...v1(A, undefined, gzipSync(layer)),
            repositories({ [`app${i}`]: { '1': B } }),
          ].map((entry) => ({ ...entry, path: `./${entry.path}` })),
        ),
      ),
    );
    for (const archive of [first!, second!]) {
      const { descriptor, names } = archive.images[0]!;
      const manifest = await archive.manifest(descriptor.digest);
      const document = parseManifest(manifest.bytes, manifest.descriptor.mediaType, 'x') as ImageManifest;
      for (const blob of [...document.layers, document.config]) await writer.putBlob(archive.blob(blob), { signal });
      await writer.addImage(manifest, { name: names[0] });
      await archive.close();
    }
    await writer.finish();
    const members = await readTar(await whole);
    const table = JSON.parse(members.get('repositories')!) as Record<string, Record<string, string>>;
    expect(table.app0).to.deep.equal({ '1': B });
    expect(table.app1!['1']).to.not.equal(B);
    expect(members.get(`${B}/json`)).to.equal(
      JSON.stringify({ id: B, parent: A, created: '2014-01-01T00:00:00Z', unheard: [1] }),
    );
    expect(members.get(`${A}/layer.tar`)).to.equal(`-> ../${hex(ONE)}.tar`);
    const moved = JSON.parse(members.get(`${table.app1!['1']}/json`)!) as { parent: string };
    expect(members.get(`${moved.parent}/layer.tar`)).to.equal(`-> ../${hex(TWO)}.tar`);
  });

  it('a name moves to the image that takes it, and is there once; a layer that is there is let go of', async () => {
    const output = new PassThrough();
    const whole = buffer(output);
    const writer = await createImageArchive({ format: 'v1', output, temporaryDirectory: tmpdir() });
    const blobOf = (bytes: Buffer, mediaType: string): ReopenableBlob & { readonly streams: Readable[] } => {
      const streams: Readable[] = [];
      const open = (): Promise<Readable> => {
        streams.push(Readable.from([bytes.subarray(0, 600), bytes.subarray(600)]));
        return Promise.resolve(streams.at(-1)!);
      };
      return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, open, streams };
    };
    const image = async (author: string): Promise<RawManifest> => {
      const rootfs = { type: 'layers', diff_ids: [digestOf(ONE)] };
      const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'arm64', author, rootfs }));
      const blobs = [blobOf(config, MEDIA_TYPE.ociConfig), blobOf(gzipSync(ONE), MEDIA_TYPE.ociLayerGzip)] as const;
      for (const blob of blobs) await writer.putBlob(blob, { signal });
      const [{ descriptor: own }, { descriptor: layer }] = blobs;
      const mediaType = MEDIA_TYPE.ociManifest;
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: own, layers: [layer] }));
      const manifest = { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
      await writer.putManifest(manifest);
      return manifest;
    };
    const [first, second] = [await image('me'), await image('you')];
    const plain = blobOf(ONE, MEDIA_TYPE.ociLayer);
    await writer.putBlob(plain, { signal });
    await new Promise(setImmediate);
    expect(plain.streams.map(({ destroyed }) => destroyed)).to.deep.equal([true]);
    for (const manifest of [first, first, second]) await writer.addImage(manifest, { name: 'docker.io/library/a:1' });
    await writer.addImage(first, { name: 'docker.io/library/b:1' });
    await writer.finish();
    const listed = JSON.parse((await readTar(await whole)).get('manifest.json')!) as { RepoTags: string[] }[];
    expect(listed.map(({ RepoTags }) => RepoTags)).to.deep.equal([
      ['docker.io/library/b:1'],
      ['docker.io/library/a:1'],
    ]);
  });
});

/** Files by name; a link's content is `-> TARGET`. */
async function readTar(tar: Buffer): Promise<Map<string, string>> {
  const members = new Map<string, string>();
  const reader = extract();
  const done = (async () => {
    for await (const entry of reader) {
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      const { name, type, linkname } = entry.header;
      if (type === 'directory') continue;
      members.set(name, type === 'symlink' ? `-> ${linkname}` : Buffer.concat(chunks).toString('latin1'));
    }
  })();
  reader.end(tar);
  await done;
  return members;
}
