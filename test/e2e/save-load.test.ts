import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { MEDIA_TYPE } from '../../lib/spec/index.js';
import { makeBtrfsLoop, type BtrfsLoop } from '../helpers/btrfs-loop.js';
import { IMGTOOL, imgtool, mountNew } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { smallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree, type TreeEntry } from '../helpers/tree-listing.js';

const NAME = 'docker.io/library/small:1';

describe('save and load', () => {
  let directory: string;
  let btrfs: BtrfsLoop;
  let podman: Podman;
  let root: string;
  let id: string;
  let want: Map<string, TreeEntry>;

  const at = (name: string): string => join(directory, name);
  const fresh = (name: string): string => join(btrfs.path, name);
  const tree = (path: string): Map<string, TreeEntry> => listTree(path, { withoutRoot: true });
  const digestIn = async (store: string, image: string): Promise<string> =>
    (JSON.parse(await imgtool(store, 'images', '--json')) as { id: string; digest: string }[]).find(
      (i) => i.id === image,
    )!.digest;
  const leftovers = async (store: string): Promise<string[]> =>
    (await Promise.all(['work', 'trash', 'ingest'].map((place) => readdir(join(store, place))))).flat();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-save-'));
    btrfs = await makeBtrfsLoop();
    podman = await makePodman();
    root = fresh('store');
    const busybox = Buffer.from('not run here');
    await writeOciLayout(at('layout'), [smallImage(busybox, 'small:1')]);
    await writeOciLayout(at('other'), [smallImage(Buffer.from('another'), 'small:1')]);
    expect(await imgtool(root, 'load', '-i', at('layout'))).to.equal(NAME);
    id = await imgtool(root, 'load', '-i', at('layout'), '--quiet');
    want = tree(await mountNew(root, 'small:1'));
    expect(want.size).to.be.greaterThan(20);
    for (const format of ['docker-archive', 'oci-archive', 'v1'])
      await imgtool(root, 'save', 'small:1', '--format', format, '-o', at(format));
  });
  after(async () => {
    await podman.remove();
    await btrfs.remove();
    await rm(directory, { recursive: true, force: true });
  });

  for (const format of ['v1', 'docker-archive', 'oci-archive'])
    it(`podman loads what imgtool saves: ${format}`, async () => {
      const said = await podman.podman('load', '-q', '-i', at(format));
      expect(said).to.include(NAME);
      expectSameTree(want, tree(await podman.mountImage(NAME)));
      expect((await podman.podman('images', '-q', '--no-trunc')).trim()).to.equal(id);
      await podman.podman('image', 'umount', NAME);
      // The last one stays: the next tests save it.
      if (format !== 'oci-archive') await podman.podman('rmi', NAME);
    });

  for (const format of ['docker-archive', 'oci-archive'])
    it(`imgtool loads what podman saves: ${format}`, async () => {
      const path = at(`podman-${format}`);
      await podman.podman('save', '-q', '--format', format, '-o', path, NAME);
      const store = fresh(`from-podman-${format}`);
      expect(await imgtool(store, 'load', '-i', path)).to.equal(NAME);
      expectSameTree(want, tree(await mountNew(store, id)));
      expect(await leftovers(store)).to.deep.equal([]);
    });

  it('skopeo and umoci read it, manifest digest kept', async () => {
    const digest = await digestIn(root, id);
    for (const source of [
      `docker-archive:${at('docker-archive')}`,
      `oci-archive:${at('docker-archive')}`,
      `oci-archive:${at('oci-archive')}`,
    ])
      await skopeoCopy(source, `oci:${at('skopeo')}:1`);
    expect((await run('skopeo', ['inspect', '--format', '{{.Digest}}', `oci:${at('skopeo')}:1`])).trim()).to.equal(
      digest,
    );
    await imgtool(root, 'save', 'small:1', '--format', 'oci-dir', '-o', at('dir'));
    await run('umoci', ['unpack', '--image', `${at('dir')}:${NAME}`, at('bundle')]);
    expectSameTree(want, tree(at('bundle/rootfs')));
  });

  it('skopeo and umoci read a layout of an image with a Docker manifest, saved or copied: it becomes OCI, which is said', async () => {
    const store = fresh('docker-manifest');
    // A docker-archive alone has no manifest: the image gets one of Docker's.
    await skopeoCopy(`oci-archive:${at('oci-archive')}`, `docker-archive:${at('docker-plain')}:small:1`);
    await imgtool(store, 'load', '-i', at('docker-plain'));
    const stored = await digestIn(store, id);
    const said = async (...args: string[]): Promise<string> => {
      const { stderr } = await promisify(execFile)(IMGTOOL, ['--root', store, ...args], { encoding: 'utf8' });
      return stderr;
    };
    expect(await said('save', 'small:1', '--format', 'oci-dir', '-o', at('saved'))).to.include(`not ${stored}`);
    expect(await said('copy', 'store:small:1', `oci:${at('copied')}:1`)).to.include(`not ${stored}`);
    for (const [place, tag] of [
      ['saved', NAME],
      ['copied', '1'],
    ] as const) {
      const raw = await run('skopeo', ['inspect', '--raw', `oci:${at(place)}:${tag}`]);
      expect((JSON.parse(raw) as { mediaType: string }).mediaType).to.equal(MEDIA_TYPE.ociManifest);
      await run('umoci', ['unpack', '--image', `${at(place)}:${tag}`, at(`bundle-${place}`)]);
      expectSameTree(want, tree(at(`bundle-${place}/rootfs`)));
    }
    expect(await said('copy', '--preserve-digests', 'store:small:1', `oci:${at('kept')}:1`)).to.include('umoci');
    expect(await readFile(join(at('kept'), 'index.json'), 'utf8')).to.include(stored);
  });

  it('save | zstd | load through pipes: the same manifest, byte for byte, and the same archive again', async () => {
    const store = fresh('piped');
    const script = `"${IMGTOOL}" --root "${root}" --progress none save small:1 | zstd -q | "${IMGTOOL}" --root "${store}" --progress none load`;
    expect(execFileSync('bash', ['-o', 'pipefail', '-c', script], { encoding: 'utf8' }).trim()).to.equal(NAME);
    expect(await digestIn(store, id)).to.equal(await digestIn(root, id));
    await imgtool(store, 'save', 'small:1', '-o', at('again'));
    expect((await readFile(at('again'))).equals(await readFile(at('docker-archive')))).to.equal(true);
  });

  it('two saves at once into one directory', async () => {
    await imgtool(root, 'tag', 'small:1', 'example.com/a:1');
    const save = (name: string): Promise<string> =>
      imgtool(root, 'save', name, '--format', 'oci-dir', '-o', at('shared'));
    await Promise.all([save('example.com/a:1'), save('small:1')]);
    await imgtool(root, 'untag', 'example.com/a:1');
    const { manifests } = JSON.parse(await readFile(join(at('shared'), 'index.json'), 'utf8')) as {
      manifests: { annotations: Record<string, string> }[];
    };
    const names = manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name']);
    expect(names).to.have.members([NAME, 'example.com/a:1']);
    expect((await readdir(join(at('shared'), 'blobs/sha256'))).length).to.equal(6);
  });

  it('a name that another image has is taken only with --replace', async () => {
    const store = fresh('replace');
    await imgtool(store, 'load', '-i', at('layout'));
    const { status, stderr } = spawnSync(IMGTOOL, ['--root', store, 'load', '-i', at('other')], { encoding: 'utf8' });
    expect(stderr)
      .to.match(/is another image in the store already/)
      .and.match(/^hint: .*--replace/m);
    expect(status).to.equal(3);
    const said = spawnSync(IMGTOOL, ['--root', store, 'load', '--replace', '-q', '-i', at('other')], {
      encoding: 'utf8',
    });
    expect(said.status, said.stderr).to.equal(0);
    const images = JSON.parse(await imgtool(store, 'images', '--json')) as { id: string; names: string[] }[];
    expect(images.find((image) => image.id === id)?.names).to.deep.equal([]);
    expect(images.find((image) => image.id === said.stdout.trim())?.names).to.deep.equal([NAME]);
  });

  it('a layer that is not what the config says: exit 6, no image, nothing in work', async () => {
    const store = fresh('hostile');
    await skopeoCopy(`docker-archive:${at('docker-archive')}`, `docker-archive:${at('plain')}:small:1`);
    const bytes = await readFile(at('plain'));
    const where = bytes.indexOf('hello\n');
    expect(where).to.be.greaterThan(0);
    bytes[where] = 0x48;
    await writeFile(at('plain'), bytes);
    const { status, stderr } = spawnSync(IMGTOOL, ['--root', store, 'load', '-i', at('plain')], { encoding: 'utf8' });
    expect(status, stderr).to.equal(6);
    expect(await imgtool(store, 'images', '-q')).to.equal('');
    expect(await leftovers(store)).to.deep.equal([]);
  });

  it('killed at any moment and run again: the image, and nothing else', async () => {
    const store = fresh('killed');
    for (const ms of [100, 200, 300]) {
      const script = `"${IMGTOOL}" --root "${store}" load -i "${at('docker-archive')}" >/dev/null 2>&1 & sleep ${ms / 1000}; kill -9 $!; wait $!`;
      spawnSync('bash', ['-c', script]);
    }
    expect(await imgtool(store, 'load', '-i', at('docker-archive'))).to.equal(NAME);
    expectSameTree(want, tree(await mountNew(store, id)));
    expect(await leftovers(store)).to.deep.equal([]);
  });

  it('a layer of which no copy is left is repacked from its files', async () => {
    const store = fresh('gone');
    await imgtool(store, 'load', '-i', at('layout'));
    const [layer] = (
      JSON.parse(await imgtool(store, 'inspect', 'small:1', '--raw')) as { layers: { digest: string }[] }
    ).layers;
    await rm(join(store, 'blobs/sha256', layer!.digest.slice(7)));
    await imgtool(store, 'save', 'small:1', '-o', at('anew'));
    const other = fresh('anew');
    await imgtool(other, 'load', '-i', at('anew'));
    expectSameTree(want, tree(await mountNew(other, 'small:1')));
    expect((await readdir(join(store, 'blobs/sha256'))).length).to.equal(5);
  });

  it('what cannot be: said, with the right exit code', () => {
    const status = (...args: string[]): number | null =>
      spawnSync(IMGTOOL, ['--root', root, ...args], { input: '' }).status;
    const missing = spawnSync(IMGTOOL, ['--root', root, 'load', '-i', at('nothing-there')], { encoding: 'utf8' });
    expect([missing.status, missing.stderr]).to.deep.equal([
      2,
      `imgtool: load failed: ${at('nothing-there')} cannot be read: there is no such file or directory\nhint: check the path\n`,
    ]);
    expect(status('load')).to.equal(6);
    expect(status('save', 'nobody')).to.equal(3);
    expect(status('save', 'small:1', '--format', 'oci-dir')).to.equal(2);
    expect(status('save', 'small:1', '-o', at('no/such/file'))).to.equal(2);
  });
});
