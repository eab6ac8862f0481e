import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { commandLine } from '../helpers/command-line.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { imgtool } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';

describe('copy: to and from archives', () => {
  let directory: string;
  let registry: DockerRegistry;
  let digest: string;
  let index: string;

  const at = (name: string): string => join(directory, name);
  const copy = (...args: string[]): Promise<string> => imgtool(at('no-store'), 'copy', ...args);
  const digestOf = async (name: string): Promise<string> =>
    (await run('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', name])).trim();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-copy-'));
    registry = await startDockerRegistry();
    const layers = ['one', 'two'].map((path) => ({ entries: [{ path, content: path.repeat(1000) }] }));
    const other = { os: 'linux', architecture: 'riscv64' };
    const digests = await writeOciLayout(at('layout'), [
      { tag: 'app', layers },
      { tag: 'multi', layers },
      { tag: 'multi', layers: layers.slice(1), platform: other },
    ]);
    [digest, index] = [digests.get('app')!, digests.get('multi')!];
    await skopeoCopy(`oci:${at('layout')}:app`, `docker://${registry.host}/app:1`);
  });
  after(async () => {
    await registry.stop();
    await rm(directory, { recursive: true });
  });

  it('registry → layout → oci-archive → docker-archive → registry: the digest stays, skopeo reads each', async () => {
    const ends = [
      `docker://${registry.host}/app:1`,
      `oci:${at('dir')}:1`,
      `oci-archive:${at('oci.tar')}:1`,
      `docker-archive:${at('docker.tar')}:example.com/app:1`,
      `docker://${registry.host}/back:1`,
    ];
    for (const [i, end] of ends.slice(1).entries()) expect(await copy(ends[i]!, end), end).to.equal(digest);
    await skopeoCopy(`docker-archive:${at('docker.tar')}:example.com/app:1`, `oci:${at('judge')}:docker`);
    expect(await digestOf(`oci:${at('dir')}:1`)).to.equal(digest);
    expect(await digestOf(`oci-archive:${at('oci.tar')}:1`)).to.equal(digest);
    expect(await digestOf(`docker://${registry.host}/back:1`)).to.equal(digest);
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).to.deep.equal([]);
  });

  it('a whole index into a layout and an archive; one platform into a docker-archive', async () => {
    const source = `oci:${at('layout')}:multi`;
    expect(await copy(source, `oci:${at('all')}:2`, `oci-archive:${at('all.tar')}`, '--all')).to.equal(index);
    expect(await copy(`oci-archive:${at('all.tar')}`, `docker://${registry.host}/all:2`, '--all')).to.equal(index);
    await run('skopeo', ['--insecure-policy', 'copy', '-q', '--all', `oci:${at('all')}:2`, `oci:${at('judge')}:all`]);
    expect(await copy(source, `docker-archive:${at('one.tar')}:a:1`, '--all')).to.equal(digest);
  });

  it('into a layout with other images, and again: they stay, nothing twice', async () => {
    for (let i = 0; i < 2; i++) await copy(`docker://${registry.host}/app:1`, `oci:${at('layout')}:new`);
    const { manifests } = JSON.parse(await readFile(join(at('layout'), 'index.json'), 'utf8')) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    const tags = manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name']);
    expect(tags).to.deep.equal(['app', 'multi', 'new']);
  });

  it('two copies of the same image give the same archive', async () => {
    for (const name of ['a.tar', 'b.tar'])
      await copy(`docker://${registry.host}/app:1`, `docker-archive:${at(name)}:a:1`);
    expect((await readFile(at('a.tar'))).equals(await readFile(at('b.tar')))).to.equal(true);
  });

  it('registry → store → docker-archive → store → registry: the digest stays, the image is unpacked', async () => {
    const inStore = (...args: string[]): Promise<string> => imgtool(at('root'), ...args);
    try {
      expect(await inStore('copy', `docker://${registry.host}/app:1`, 'store:example.com/app:1')).to.equal(digest);
      expect(await inStore('copy', 'store:example.com/app:1', `docker-archive:${at('s.tar')}:b:1`)).to.equal(digest);
      expect(await inStore('copy', `docker-archive:${at('s.tar')}`, 'store:b:1')).to.equal(digest);
      expect(await inStore('copy', 'store:b:1', `docker://${registry.host}/from-store:1`)).to.equal(digest);
      expect(await digestOf(`docker://${registry.host}/from-store:1`)).to.equal(digest);
      const tree = await inStore('mount', await inStore('create', 'b:1'));
      expect((await readdir(tree)).sort()).to.deep.equal(['one', 'two']);
      const [image, ...more] = JSON.parse(await inStore('images', '--json')) as { names: string[] }[];
      expect([image?.names, more]).to.deep.equal([['docker.io/library/b:1', 'example.com/app:1'], []]);
    } finally {
      await run('umount', [at('root')]).catch(() => undefined);
      for (const name of ['root', 'root.btrfs', 'root.btrfs.lock'])
        await rm(at(name), { recursive: true, force: true });
    }
  });

  it('what cannot be: said, with the right exit code, and nothing is left', async () => {
    const before = await readdir(directory);
    const status = async (...args: string[]): Promise<number> => (await commandLine(['copy', ...args])).code;
    const target = `oci-archive:${at('never.tar')}`;
    expect(await status(`oci:${at('layout')}:nobody`, target)).to.equal(3);
    expect(await status(`oci:${at('layout')}`, target)).to.equal(3);
    expect(await status(`oci:${at('nothing')}`, target)).to.equal(2);
    expect(await status(`docker://${registry.host}/nobody:1`, target)).to.equal(3);
    expect(await status(`oci:${at('layout')}:app`, `docker-archive:${at('never.tar')}:A B`)).to.equal(2);
    await writeFile(at('text'), 'no archive');
    expect(await status(`docker-archive:${at('text')}`, target)).to.equal(6);
    await rm(at('text'));
    expect(await readdir(directory)).to.deep.equal(before);
  });
});
