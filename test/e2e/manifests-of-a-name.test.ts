import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool, serveWith, startServe, type Served } from '../helpers/imgtool.js';
import { putManifest } from '../helpers/artifacts.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Inspected {
  readonly id: string;
  readonly digest: string;
  readonly index?: string;
  readonly names: readonly string[];
  readonly layers: readonly { readonly digest: string }[];
}

describe('two manifests with one config: a name keeps its own', () => {
  let workspace: Workspace;
  let directory: string;
  let server: Served;
  let root: string;
  let [gzip, zstd, listed]: [string, string, string] = ['', '', ''];
  const digests = new Map<string, string>();

  const inStore = (...args: string[]): Promise<string> => imgtool(root, ...args);
  const inspect = async (name: string): Promise<Inspected> => JSON.parse(await inStore('inspect', name)) as Inspected;
  const digestAt = async (name: string): Promise<string> =>
    (JSON.parse(await run('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`])) as { Digest: string })
      .Digest;
  const expectOwnManifests = async (): Promise<void> => {
    for (const name of [gzip, zstd]) expect((await inspect(name)).digest, name).to.equal(digests.get(name));
  };

  before(async () => {
    workspace = await makeWorkspace('manifests');
    ({ directory } = workspace);
    server = await startServe(join(directory, 'registry'));
    [gzip, zstd, listed] = [`${server.host}/a:1`, `${server.host}/b:1`, `${server.host}/c:1`];
    await writeSmallImage(join(directory, 'layout'));
    const layout = `oci:${directory}/layout:${SMALL_IMAGE_TAG}`;
    await skopeoCopy(layout, `docker://${gzip}`);
    await run(IMGTOOL, ['copy', '--compression', 'zstd', `docker://${gzip}`, `docker://${zstd}`]);
    for (const name of [gzip, zstd]) digests.set(name, await digestAt(name));
    expect(digests.get(gzip)).to.not.equal(digests.get(zstd));
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${gzip}`]);
    const entry = { mediaType, digest: digests.get(gzip), size: manifest.length };
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [entry] };
    await skopeoCopy(layout, `docker://${server.host}/c:plain`);
    digests.set(listed, (await putManifest(`http://${server.host}`, 'c', index, '1')).digest);
  });
  after(async () => {
    await server.stop();
    await workspace.remove();
  });
  beforeEach(async () => {
    root = join(btrfsDirectory('manifests'), 'store');
    for (const name of [gzip, zstd]) await inStore('pull', name);
  });

  it('inspect, images and push: the digest that each name was pulled with', async () => {
    await expectOwnManifests();
    const { id, names } = await inspect(gzip);
    expect(names).to.deep.equal([gzip, zstd]);
    const list = JSON.parse(await inStore('images', '--json')) as Inspected[];
    expect(list.map((image) => [image.id, image.names[0], image.digest])).to.have.deep.members(
      [gzip, zstd].map((name) => [id, name, digests.get(name)]),
    );
    expect(await inStore('images', '-q')).to.equal(id);
    for (const name of [gzip, zstd]) {
      const target = `${server.host}/pushed:${name === gzip ? 'gzip' : 'zstd'}`;
      await inStore('push', name, target);
      expect(await digestAt(target), target).to.equal(digests.get(name));
    }
  });

  it('pull again, by tag and by digest, asks for nothing but the digest', async () => {
    for (const reference of [gzip, zstd, `${server.host}/a@${digests.get(gzip)}`]) {
      const { digest, requests } = JSON.parse(await inStore('pull', '--json', reference)) as Record<string, unknown>;
      expect([digest, requests]).to.deep.equal([
        digests.get(reference) ?? digests.get(gzip),
        reference === gzip || reference === zstd ? 1 : 0,
      ]);
    }
    await expectOwnManifests();
  });

  it('an index is kept with the name, beside the bare manifest', async () => {
    await inStore('pull', listed);
    expect((await inspect(listed)).index).to.equal(digests.get(listed));
    expect((await inspect(gzip)).index).to.equal(undefined);
    expect((await inspect(`${server.host}/c@${digests.get(listed)}`)).index).to.equal(digests.get(listed));
  });

  it('save, copy and serve --store: manifest and layers of the name', async () => {
    for (const name of [gzip, zstd]) {
      const file = join(directory, 'saved');
      await inStore('save', '--format', 'oci-dir', '-o', file, name);
      const index = JSON.parse(await readFile(join(file, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
      expect(index.manifests.map(({ digest }) => digest)).to.deep.equal([digests.get(name)]);
      await inStore('copy', `store:${name}`, `oci:${directory}/copied:1`);
      expect(await run('skopeo', ['inspect', '--raw', `oci:${directory}/copied:1`])).to.equal(
        await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]),
      );
      await rm(file, { recursive: true });
      await rm(join(directory, 'copied'), { recursive: true });
    }
    const store = await serveWith(['--store', '--root', root]);
    try {
      for (const [name, repository] of [
        [gzip, 'a'],
        [zstd, 'b'],
      ] as const) {
        expect(await digestAt(`${store.host}/${repository}:1`)).to.equal(digests.get(name));
        expect(await digestAt(`${store.host}/${repository}@${digests.get(name)}`)).to.equal(digests.get(name));
      }
    } finally {
      await store.stop();
    }
  });

  it('gc and fsck keep both; rmi of one name leaves the other; rmi by ID takes all', async () => {
    await inStore('store', 'gc');
    await inStore('store', 'fsck');
    await expectOwnManifests();
    await inStore('rmi', gzip);
    expect((await inspect(zstd)).digest).to.equal(digests.get(zstd));
    expect(JSON.parse(await inStore('images', '--json'))).to.have.length(1);
    await inStore('pull', gzip);
    await expectOwnManifests();
    await inStore('rmi', (await inspect(zstd)).id);
    expect(await inStore('images', '-q')).to.equal('');
    expect((await readdir(join(root, 'images'))).concat(await readdir(join(root, 'blobs/sha256')))).to.deep.equal([]);
  });

  it('a tag that moves to the other manifest, by pull and by tag', async () => {
    const moving = `${server.host}/moving:1`;
    await skopeoCopy(`docker://${gzip}`, `docker://${moving}`);
    await inStore('pull', moving);
    await skopeoCopy(`docker://${zstd}`, `docker://${moving}`);
    await inStore('pull', moving);
    expect((await inspect(moving)).digest).to.equal(digests.get(zstd));
    await inStore('tag', gzip, zstd);
    expect((await inspect(zstd)).digest).to.equal(digests.get(gzip));
    expect((await inspect(moving)).digest).to.equal(digests.get(zstd));
  });

  it('a store made before, with both names on one manifest: a pull gives each its own', async () => {
    const files = await readdir(join(root, 'images'));
    const id = (await inspect(zstd)).id.slice('sha256:'.length);
    const records = await Promise.all(
      files.map(
        async (file) => JSON.parse(await readFile(join(root, 'images', file), 'utf8')) as Record<string, unknown>,
      ),
    );
    const last = records.find(({ names }) => (names as string[]).includes(zstd))!;
    const both = (key: string): unknown[] => records.flatMap((record) => record[key] as unknown[]).sort();
    for (const file of files) await rm(join(root, 'images', file));
    const merged = { ...last, names: both('names'), sources: both('sources') };
    await writeFile(join(root, 'images', `${id}.json`), JSON.stringify(merged));
    expect((await inspect(gzip)).digest).to.equal(digests.get(zstd));
    await inStore('pull', gzip);
    await expectOwnManifests();
  });
});
