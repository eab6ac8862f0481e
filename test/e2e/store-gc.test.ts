import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { digestOf } from '../../lib/spec/index.js';
import { imgtool, serveWith, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Collected {
  readonly images: readonly { readonly names: readonly string[] }[];
  readonly layers: readonly object[];
  readonly blobs: readonly { readonly digest: string }[];
  readonly downloads: readonly object[];
  readonly bytes: number;
}

describe('imgtool store gc', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let name: string;
  let server: Served;

  before(async () => {
    workspace = await makeWorkspace('gc');
    ({ directory, root } = workspace);
    ({ server, name } = await workspace.serveSmallImage());
    await imgtool(root, 'pull', name);
    await imgtool(root, 'create', '--name', 'box', name);
  });
  after(() => workspace.remove());

  const gc = async (...flags: string[]): Promise<Collected> =>
    JSON.parse(await imgtool(root, 'store', 'gc', ...flags, '--json')) as Collected;
  const contents = async (): Promise<string[]> => {
    const places = ['blobs/sha256', 'ingest', 'layers', 'images', 'uploads', 'work', 'trash'];
    const lists = places.map(async (place) => (await readdir(join(root, place))).map((entry) => `${place}/${entry}`));
    return (await Promise.all(lists)).flat().sort();
  };
  /** An image of one more layer with `text` in it. */
  const commit = async (text: string, ...more: string[]): Promise<void> => {
    execFileSync('sh', ['-c', `echo ${text} >file`], { cwd: await imgtool(root, 'mount', 'box') });
    await imgtool(root, 'commit', 'box', ...more);
  };

  it('finds nothing where all is needed', async () => {
    const before = await contents();
    expect(await gc()).to.deep.include({ images: [], layers: [], blobs: [], downloads: [], bytes: 0 });
    expect(await contents()).to.deep.equal(before);
  });

  it('removes what nothing needs, after saying so in a dry run that changes nothing', async () => {
    const before = await contents();
    await commit('one', 'local/one:1');
    const made = (await contents()).filter((path) => !before.includes(path));
    // A crash between the record and the rest of rmi, a download of last week, a blob of nobody.
    await rm(
      join(
        root,
        made.find((path) => path.startsWith('images/'))!,
      ),
    );
    const download = join(root, `ingest/sha256-${'a'.repeat(64)}`);
    await mkdir(download);
    await writeFile(join(download, 'data'), 'begun');
    await utimes(join(download, 'data'), 1e9, 1e9);
    await writeFile(join(root, `blobs/sha256/${'b'.repeat(64)}`), 'nobody');

    const dirty = await contents();
    const plan = await gc('--dry-run');
    expect(await contents()).to.deep.equal(dirty);
    expect(plan.layers).to.have.length(1);
    expect(plan.blobs).to.have.length(4);
    expect(plan.downloads).to.have.length(1);
    expect(await gc()).to.deep.equal({ ...plan, dryRun: false });
    expect(await contents()).to.deep.equal(before);
  });

  it('serve --store: a client gets what is there, what can be packed anew, and all of an image that is removed meanwhile', async () => {
    const before = await contents();
    await commit('served', 'local/served:1');
    const blob = (digest: string): string => join(root, 'blobs/sha256', digest.slice('sha256:'.length));
    type Image = { digest: string; layers: { digest: string }[] };
    const { digest, layers } = JSON.parse(await imgtool(root, 'inspect', 'local/served:1')) as Image;
    const [bottom, top] = [layers[0]!.digest, layers.at(-1)!.digest];
    await rm(blob(top));
    let log = '';
    const served = await serveWith(['--store', '--root', root], (text) => (log += text));
    const logged = async (text: string): Promise<void> => {
      while (!log.includes(text)) await sleep(10);
    };
    const get = async (path: string, options: RequestInit = {}): Promise<Response> => {
      const answer = await fetch(`http://${served.host}/v2/${path}`, options);
      return new Response(await answer.arrayBuffer(), { status: answer.status, headers: answer.headers });
    };
    try {
      // Of a layer that others packed no other blob can be made.
      await rename(blob(bottom), join(root, 'bottom'));
      expect((await get(`local/served/blobs/${bottom}`, { method: 'HEAD' })).status).to.equal(404);
      await logged(`${bottom} of local/served is not in the store`);
      await rename(join(root, 'bottom'), blob(bottom));

      expect(await imgtool(root, 'catalog', served.host)).to.equal('local/served\nsome/small');
      expect(await imgtool(root, 'tags', `${served.host}/docker.io/local/served`)).to.equal('1');
      expect(await imgtool(root, 'digest', `${served.host}/local/served:1`)).to.equal(digest);
      expect(await imgtool(root, 'tags', '--registry-version=1', `${served.host}/local/served`)).to.equal('1');
      await skopeoCopy(`docker://${served.host}/local/served:1`, `oci:${directory}/copied:1`);
      const copied = JSON.parse(await readFile(join(directory, 'copied/index.json'), 'utf8')) as { manifests: Image[] };
      expect(copied.manifests[0]!.digest).to.equal(digest);
      await logged(`${top} of local/served was not in the store: repacked`);

      const range = await get(`local/served/blobs/${top}`, { headers: { range: 'bytes=0-1' } });
      expect([range.status, Buffer.from(await range.arrayBuffer()).toString('hex')]).to.deep.equal([206, '1f8b']);
      for (const [method, path] of [
        ['POST', 'blobs/uploads/'],
        ['PUT', 'manifests/2'],
        ['DELETE', 'manifests/1'],
        ['DELETE', `blobs/${top}`],
      ] as const) {
        const { status, body } = await get(`local/served/${path}`, { method }).then(async (answer) => ({
          status: answer.status,
          body: await answer.text(),
        }));
        expect(status, `${method} ${path}`).to.equal(405);
        expect(body).to.include('UNSUPPORTED');
      }
      expect((await get(`some/small/blobs/${top}`)).status).to.equal(404);

      expect((await get('local/served/manifests/1')).status).to.equal(200);
      await imgtool(root, 'rmi', 'local/served:1');
      expect((await get('local/served/manifests/1')).status).to.equal(404);
      const late = Buffer.from(await (await get(`local/served/blobs/${top}`)).arrayBuffer());
      expect(digestOf(late)).to.equal(top);
      expect((await get(`local/served/manifests/${digest}`)).status).to.equal(200);
    } finally {
      expect(await served.stop()).to.equal(0);
    }
    expect(await contents()).to.deep.equal(before);
  });

  it('--drop-blobs gives up what a registry has, and the image can still be used, pushed and committed', async () => {
    await commit('two', 'local/two:1');
    const wanted = listTree(await imgtool(root, 'mount', 'box'));
    const { blobs } = await gc('--drop-blobs');
    const { layers } = JSON.parse(await imgtool(root, 'inspect', 'local/two:1')) as { layers: { digest: string }[] };
    const shared = new Set(layers.slice(0, -1).map(({ digest }) => digest));
    expect(new Set(blobs.map(({ digest }) => digest))).to.deep.equal(shared);
    const target = `${server.host}/else/two:1`;
    await imgtool(root, 'push', 'local/two:1', target);
    const other = join(directory, 'other');
    try {
      const files = await imgtool(other, 'mount', await imgtool(other, 'create', await imgtool(other, 'pull', target)));
      expectSameTree(wanted, listTree(files));
    } finally {
      await run('umount', [other]).catch(() => undefined);
    }
  });

  it('--keep-storage takes the oldest images first, and none that a container uses', async () => {
    await commit('three', 'local/three:1');
    const { images } = await gc('--keep-storage', '1', '--dry-run');
    expect(images.flatMap(({ names }) => names)).to.deep.equal(['docker.io/local/two:1', 'docker.io/local/three:1']);
    const all = await gc('--keep-storage', '1TiB');
    expect(all.images).to.deep.equal([]);
    await gc('--keep-storage', '1');
    const left = JSON.parse(await imgtool(root, 'images', '--json')) as { names: string[] }[];
    expect(left.map(({ names }) => names)).to.deep.equal([[name]]);
    expect(await imgtool(root, 'diff', 'box')).to.include('/file');
  });
});
