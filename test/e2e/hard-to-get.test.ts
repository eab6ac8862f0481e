import { createHash, randomBytes } from 'node:crypto';
import { lstat, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { startCuttingProxy, type CuttingProxy } from '../helpers/cutting-proxy.js';
import { IMGTOOL, imgtool, mountNew, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { startScript, type ScriptedServer } from '../helpers/scripted-registry.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Moved {
  readonly digest: string;
  readonly layers: readonly { readonly digest: string; readonly size: number; readonly state: string }[];
}

const MiB = 1024 * 1024;
/** `npm run soak:links` takes those of the issue: 270 and 5. */
const IMAGE_BYTES = Number(process.env.IMGTOOL_LINK_MIB ?? 12) * MiB;
const CUT_BYTES = Number(process.env.IMGTOOL_LINK_CUT_MIB ?? 1) * MiB;
/** What of a connection that is cut is fetched or sent again at most, on average: on a busy machine more is on its way. */
const BLOCK_BYTES = 512 * 1024;

describe('images that are hard to get', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let registry: Served;
  let web: ScriptedServer;
  let digest: string;
  const proxies: CuttingProxy[] = [];

  const at = (path: string): string => join(directory, path);
  const blobIn = (layout: string, name: string): string => at(`${layout}/blobs/sha256/${name.slice('sha256:'.length)}`);

  before(async () => {
    workspace = await makeWorkspace('hard');
    ({ directory, root } = workspace);
    [web, registry] = await Promise.all([startScript(), startServe(at('registry'))]);
    const own = { entries: [{ path: 'own', content: 'of the registry\n' }] };
    const theirs = { entries: [{ path: 'theirs', mode: 0o4755, content: 'of somebody else\n' }] };
    const urls = [`${web.url}/gone`, `ftp://${web.host}/`, `${web.url}/layer`];
    const large = [{ path: 'large', content: randomBytes(IMAGE_BYTES) }];
    const digests = await writeOciLayout(at('layout'), [
      { tag: 'foreign', layers: [own, { ...theirs, urls }] },
      { tag: 'large', layers: [{ entries: large, compression: 'none' }] },
    ]);
    digest = digests.get('foreign')!;
  });
  after(async () => {
    for (const proxy of proxies) await proxy.close();
    await registry.stop();
    await web.close();
    await workspace.remove();
  });

  describe(`over a link that is cut every ${CUT_BYTES / MiB} MiB`, () => {
    async function cutting(): Promise<CuttingProxy> {
      const proxy = await startCuttingProxy(registry.host, [], { each: CUT_BYTES });
      proxies.push(proxy);
      return proxy;
    }
    const told = ({ cut, passed }: CuttingProxy): string => `${cut} cuts, ${passed.down} bytes down, ${passed.up} up`;
    function expectNothingTwice({ cut, passed }: CuttingProxy, way: 'up' | 'down'): void {
      expect(cut).to.be.at.least(Math.floor(IMAGE_BYTES / CUT_BYTES) - 1);
      const again = passed[way] - IMAGE_BYTES;
      expect(again / (cut + 1), `bytes more than once for each of ${cut} cuts`).to.be.lessThan(BLOCK_BYTES);
    }

    it('a pull and a push move next to nothing twice', async () => {
      await imgtool(root, 'copy', `oci:${at('layout')}:large`, `${registry.host}/large:1`);
      const down = await cutting();
      const name = `${down.host}/large:1`;
      await imgtool(root, 'pull', name);
      expectNothingTwice(down, 'down');
      const up = await cutting();
      await imgtool(root, 'push', name, `${up.host}/again:1`);
      expectNothingTwice(up, 'up');
      if (process.env.IMGTOOL_LINK_MIB !== undefined) console.log(`      pull: ${told(down)}; push: ${told(up)}`);
    });
  });

  describe('with non-distributable layers', () => {
    let layer: string;
    let bytes: Buffer;

    before(async () => {
      const manifest = JSON.parse(await readFile(blobIn('layout', digest), 'utf8')) as Moved;
      layer = manifest.layers[1]!.digest;
      bytes = await readFile(blobIn('layout', layer));
    });
    const statusOf = async (repository: string): Promise<number> =>
      (await fetch(`http://${registry.host}/v2/${repository}/blobs/${layer}`, { method: 'HEAD' })).status;
    function serveLayer(): void {
      web.add({ method: 'GET', path: '/gone', reply: { status: 404 } });
      web.add({ method: 'GET', path: '/layer', reply: { body: bytes } });
    }

    it('these go to no registry; a pull brings them from there, and a push leaves them there', async () => {
      const name = `${registry.host}/some/app:1`;
      const skipped = { digest: layer, size: bytes.length, state: 'skipped' };
      const copied = JSON.parse(await imgtool(root, 'copy', `oci:${at('layout')}:foreign`, name, '--json')) as Moved;
      expect(copied.digest).to.equal(digest);
      expect(copied.layers).to.deep.include(skipped);
      expect(await statusOf('some/app')).to.equal(404);

      serveLayer();
      await imgtool(root, 'pull', name);
      expect(web.requests.map(({ path }) => path)).to.deep.equal(['/gone', '/layer']);
      const tree = await mountNew(root, name);
      expect(await readFile(join(tree, 'own'), 'utf8')).to.equal('of the registry\n');
      expect(await readFile(join(tree, 'theirs'), 'utf8')).to.equal('of somebody else\n');
      expect((await lstat(join(tree, 'theirs'))).mode & 0o7777).to.equal(0o4755);

      const target = `${registry.host}/other/app:1`;
      expect(await imgtool(root, 'push', name, target, '--plan')).to.include('non-distributable (foreign)');
      const pushed = JSON.parse(await imgtool(root, 'push', name, target, '--json')) as Moved;
      expect(pushed.digest).to.equal(digest);
      expect(pushed.layers[1]).to.deep.equal(skipped);
      expect(await statusOf('other/app')).to.equal(404);
      const manifest = await fetch(`http://${registry.host}/v2/other/app/manifests/1`);
      const actual = createHash('sha256').update(Buffer.from(await manifest.arrayBuffer()));
      expect(`sha256:${actual.digest('hex')}`).to.equal(digest);
      web.verify();
    });

    it('these are brought into a layout from one that lacks them, unless their host is blocked', async () => {
      await unlink(blobIn('layout', layer));
      await writeFile(at('registries.conf'), `[[registry]]\nlocation = "${web.host}"\nblocked = true\n`);
      const args = ['--progress', 'none', 'copy', `oci:${at('layout')}:foreign`];
      const env = { CONTAINERS_REGISTRIES_CONF: at('registries.conf') };
      const asked = web.requests.length;
      const { message } = await rejection(run(IMGTOOL, [...args, `oci:${at('none')}:1`], { env }));
      expect(message).to.include(`layer ${layer} is non-distributable (foreign)`).and.include('is blocked in');
      expect(web.requests).to.have.length(asked);
      serveLayer();
      await run(IMGTOOL, [...args, `oci:${at('whole')}:1`]);
      expect((await readFile(blobIn('whole', layer))).equals(bytes)).to.equal(true);
      web.verify();
    });
  });
});
