import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBtrfsLoop, type BtrfsLoop } from '../helpers/btrfs-loop.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { imgtool, mountNew } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { smallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';

describe('pull: the tree is podman’s', () => {
  let directory: string;
  let btrfs: BtrfsLoop;
  let registry: DockerRegistry;
  let podman: Podman;
  let layout: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-e2e-'));
    btrfs = await makeBtrfsLoop();
    registry = await startDockerRegistry();
    podman = await makePodman();
    layout = join(directory, 'layout');
    const busybox = Buffer.from('not run here');
    const plain = smallImage(busybox, 'plain');
    await writeOciLayout(layout, [
      smallImage(busybox, 'gzip'),
      { ...plain, layers: plain.layers.map((layer) => ({ ...layer, compression: 'none' as const })) },
      smallImage(busybox, 'many'),
      { tag: 'many', platform: { os: 'linux', architecture: 'riscv64' }, layers: [{ entries: [{ path: 'riscv' }] }] },
      {
        tag: 'many',
        platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
        layers: [{ entries: [{ path: 'arm' }] }],
      },
    ]);
  });
  after(async () => {
    await podman.remove();
    await registry.stop();
    await btrfs.remove();
    await rm(directory, { recursive: true, force: true });
  });

  /** Pulls with both and compares. */
  async function compare(name: string, ...platform: string[]): Promise<void> {
    const reference = `${registry.host}/${name}`;
    const root = join(btrfs.path, 'store');
    const want = listTree(await podman.mountImage(await podman.pull(reference, ...platform)), { withoutRoot: true });
    const id = await imgtool(root, 'pull', ...platform, reference);
    expectSameTree(want, listTree(await mountNew(root, id), { withoutRoot: true }));
  }

  const conversions: readonly { name: string; tag: string; flags: readonly string[]; platform?: readonly string[] }[] =
    [
      { name: 'oci-gzip', tag: 'gzip', flags: [] },
      { name: 'oci-plain', tag: 'plain', flags: [] },
      { name: 'oci-zstd', tag: 'gzip', flags: ['--dest-compress-format=zstd', '--format=oci', '--dest-compress'] },
      { name: 'schema2', tag: 'gzip', flags: ['--format=v2s2'] },
      { name: 'index', tag: 'many', flags: ['--all'] },
      { name: 'index-other', tag: 'many', flags: ['--all'], platform: ['--platform=linux/riscv64'] },
      { name: 'index-variant', tag: 'many', flags: ['--all'], platform: ['--platform=linux/arm/v7'] },
      { name: 'list', tag: 'many', flags: ['--all', '--format=v2s2'] },
    ];
  for (const { name, tag, flags, platform = [] } of conversions)
    it(`by skopeo: ${name}`, async () => {
      await skopeoCopy(`oci:${layout}:${tag}`, `docker://${registry.host}/${name}:1`, ...flags);
      await compare(`${name}:1`, ...platform);
    });

  it('by umoci', async () => {
    const image = join(directory, 'umoci');
    const bundle = join(directory, 'bundle');
    await run('umoci', ['init', '--layout', image]);
    await run('umoci', ['new', '--image', `${image}:1`]);
    await run('umoci', ['unpack', '--image', `${image}:1`, bundle]);
    // The directories get a time of their own: within one second umoci sees no change of theirs and leaves them out of the
    // layer, and then podman gives them the time of unpacking, where umoci and imgtool keep the lower layer's.
    const script = [
      'mkdir -p a/b; echo one >a/b/f; ln a/b/f a/g; ln -s /nowhere a/l; mkfifo a/p; mknod a/z c 1 5; chmod 4711 a/b/f; chown 5:6 a/l -h',
      'rm a/g; rm -r a/b; mkdir a/b; echo two >a/b/h; setfattr -n user.x -v 0x00ff a/b/h; chmod 1777 a; touch -d 2020-01-02 a/b a .',
    ];
    for (const step of script) {
      await run('sh', ['-ec', step], { cwd: join(bundle, 'rootfs') });
      await run('umoci', ['repack', '--refresh-bundle', '--image', `${image}:1`, bundle]);
    }
    await skopeoCopy(`oci:${image}:1`, `docker://${registry.host}/umoci:1`);
    await compare('umoci:1');
  });

  it('by buildah', async () => {
    const context = join(directory, 'context');
    await mkdir(join(context, 'sub/deep'), { recursive: true });
    await writeFile(join(context, 'sub/deep/file'), 'x'.repeat(100_000));
    const container = (await podman.buildah('from', 'scratch')).trim();
    await podman.buildah('copy', '--chown', '7:8', container, context, '/data');
    await podman.buildah('commit', '-q', container, 'localhost/built:1');
    const second = (await podman.buildah('from', 'localhost/built:1')).trim();
    const rootfs = (await podman.buildah('mount', second)).trim();
    await run('sh', ['-ec', 'rm -r data/sub; echo new >data/new; chmod 600 data/new'], { cwd: rootfs });
    await podman.buildah('commit', '-q', second, 'localhost/built:2');
    await podman.buildah(
      'push',
      '-q',
      '--tls-verify=false',
      'localhost/built:2',
      `docker://${registry.host}/buildah:1`,
    );
    await compare('buildah:1');
  });
});
