import { join } from 'node:path';
import { expect } from 'chai';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { imgtool, mountNew } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('schema 1, with docker-registry and skopeo', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let registry: DockerRegistry;
  let old: string;

  before(async () => {
    workspace = await makeWorkspace('schema1');
    ({ directory, root } = workspace);
    registry = await startDockerRegistry({ config: { compatibility: { schema1: { enabled: true } } } });
    await writeSmallImage(join(directory, 'layout'));
    const source = `oci:${directory}/layout:${SMALL_IMAGE_TAG}`;
    old = `${registry.host}/old/small:1`;
    // From schema 2: skopeo makes no schema 1 of OCI images.
    await skopeoCopy(source, `docker://${registry.host}/new/small:1`, '--format=v2s2');
    await skopeoCopy(`docker://${registry.host}/new/small:1`, `docker://${old}`, '--format=v2s1');
  });
  after(async () => {
    await registry.stop();
    await workspace.remove();
  });

  const rawManifest = (name: string): Promise<string> =>
    run('skopeo', ['inspect', '--tls-verify=false', '--raw', `docker://${name}`]);

  it('pulls what skopeo has written: the tree and the config are those of the image it was made of', async () => {
    expect(JSON.parse(await rawManifest(old))).to.include({ schemaVersion: 1, name: 'old/small' });
    const id = await imgtool(root, 'pull', old);
    const modern = await imgtool(root, 'pull', `${registry.host}/new/small:1`);
    expectSameTree(listTree(await mountNew(root, modern)), listTree(await mountNew(root, id)));
    interface Inspected {
      readonly layers: readonly { readonly digest: string; readonly diffId: string }[];
      readonly config: unknown;
      readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
    }
    const [got, want] = await Promise.all(
      [id, modern].map(async (image) => JSON.parse(await imgtool(root, 'inspect', image)) as Inspected),
    );
    const summary = ({ layers, history, config }: Inspected): object => ({
      config,
      layers: layers.map(({ digest, diffId }) => ({ digest, diffId })),
      // The step that made the top layer is in the config's container_config, which images of this builder lack.
      history: history.map(({ created_by, empty_layer }, i) => ({
        created_by: i < history.length - 1 ? created_by : '',
        empty_layer,
      })),
    });
    expect(summary(got!)).to.deep.equal(summary(want!));
  });

  it('tells what a pull would do, and what there is, before it is here', async () => {
    const other = join(directory, 'none');
    expect(await imgtool(other, 'pull', '--plan', old))
      .to.include('to fetch')
      .and.include('no store yet');
    expect(await imgtool(root, 'pull', '--plan', old)).to.include('to fetch 0B');
    const found = JSON.parse(await imgtool(other, 'inspect', `docker://${old}`)) as Record<string, unknown>;
    expect(found).to.include({ id: null, digest: await digestOf(old), os: 'linux' });
    expect(found.config).to.deep.include({ Cmd: ['/bin/sh'] });
  });

  it('knows it again without fetching anything, by tag and by digest', async () => {
    const id = await imgtool(root, 'pull', old);
    await registry.forget();
    expect(await imgtool(root, 'pull', '--policy', 'newer', old)).to.equal(id);
    expect((await registry.requests()).map(({ method }) => method)).to.deep.equal(['HEAD']);
    expect(await imgtool(root, 'pull', `${registry.host}/old/small@${await digestOf(old)}`)).to.equal(id);
  });

  it('gives it to registries of today, where skopeo reads it', async () => {
    const target = `${registry.host}/lifted/small:1`;
    await imgtool(root, 'push', old, target);
    expect(JSON.parse(await rawManifest(target))).to.include({ schemaVersion: 2 });
    await skopeoCopy(`docker://${target}`, `oci:${directory}/back:1`);
  });

  it('writes it, and skopeo and imgtool read it: same layers, same config, several tags', async () => {
    const modern = `${registry.host}/new/small:1`;
    const target = `${registry.host}/written/small`;
    const plan = await imgtool(root, 'push', modern, `${target}:1`, '--format', 'v2s1', '--plan');
    expect(plan).to.include('to upload').and.include('to mount');
    const digest = await imgtool(root, 'push', modern, `${target}:1`, '--format', 'v2s1', '--tag', '2');
    expect(digest).to.equal(await digestOf(`${target}:1`));
    expect(JSON.parse(await rawManifest(`${target}:2`))).to.include({
      schemaVersion: 1,
      name: 'written/small',
      tag: '2',
    });
    await skopeoCopy(`docker://${target}:2`, `docker://${registry.host}/back/small:1`, '--format=v2s2');
    const want = JSON.parse(await imgtool(root, 'inspect', '--config', modern)) as Record<string, unknown>;
    for (const name of [`${target}:2`, `${registry.host}/back/small:1`]) {
      const text = await imgtool(root, 'inspect', '--config', await imgtool(root, 'pull', name));
      const { config, rootfs, architecture, history } = JSON.parse(text) as Record<string, unknown>;
      expect({ config, rootfs, architecture }).to.deep.equal(
        Object.fromEntries(['config', 'rootfs', 'architecture'].map((field) => [field, want[field]])),
      );
      const made = (list: unknown): unknown[] => (list as { created_by: string }[]).map((step) => step.created_by);
      expect(made(history)).to.deep.equal(made(want.history));
    }
  });

  async function digestOf(name: string): Promise<string> {
    const args = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${name}`];
    return (await run('skopeo', args)).trim();
  }
});
