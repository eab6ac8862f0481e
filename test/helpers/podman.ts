/** podman and buildah with a store of their own on btrfs: a judge of trees, and a peer to measure against. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBtrfsLoop } from './btrfs-loop.js';
import { run } from './run.js';

/** A podman store. `remove` gives back every mount and file. */
export interface Podman {
  /** Root of the btrfs it lives on. */
  readonly path: string;
  /** Environment that makes podman and buildah use this store. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs podman with this store; resolves with its stdout. */
  podman(...args: string[]): Promise<string>;
  /** Runs buildah with this store; resolves with its stdout. */
  buildah(...args: string[]): Promise<string>;
  /** Pulls from a plain-http registry; resolves with the image ID. */
  pull(reference: string, ...flags: string[]): Promise<string>;
  /** Mounts a pulled image read-only; resolves with the directory. */
  mountImage(image: string): Promise<string>;
  /** Reads the files of the store, without a process: the tree and the config of an image by its ID. */
  readImage(id: string): Promise<{ readonly tree: string; readonly config: string }>;
  remove(): Promise<void>;
}

/** Makes an empty podman store on a btrfs loop mount. Needs root and the packages podman, buildah and crun. */
export async function makePodman(): Promise<Podman> {
  const btrfs = await makeBtrfsLoop();
  const home = join(btrfs.path, 'home');
  const configuration = join(home, '.config/containers');
  await mkdir(configuration, { recursive: true });
  const storage = join(configuration, 'storage.conf');
  await writeFile(
    storage,
    `[storage]\ndriver = "btrfs"\nrunroot = "${btrfs.path}/run"\ngraphroot = "${btrfs.path}/storage"\n`,
  );
  await writeFile(join(configuration, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  await writeFile(join(configuration, 'containers.conf'), '[engine]\nevents_logger = "none"\n');
  const env = {
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    XDG_RUNTIME_DIR: join(btrfs.path, 'xdg'),
    CONTAINERS_STORAGE_CONF: storage,
    CONTAINERS_CONF: join(configuration, 'containers.conf'),
  };
  const podman = (...args: string[]): Promise<string> => run('podman', args, { env });
  const buildah = (...args: string[]): Promise<string> => run('buildah', args, { env });
  return {
    path: btrfs.path,
    env,
    podman,
    buildah,
    pull: async (reference, ...flags) => (await podman('pull', '-q', '--tls-verify=false', ...flags, reference)).trim(),
    mountImage: async (image) => (await podman('image', 'mount', image)).trim(),
    readImage: async (id) => {
      const images = join(btrfs.path, 'storage/btrfs-images');
      const list = JSON.parse(await readFile(join(images, 'images.json'), 'utf8')) as { id: string; layer: string }[];
      const { layer } = list.find((image) => image.id === id)!;
      return {
        tree: join(btrfs.path, 'storage/btrfs/subvolumes', layer),
        config: await readFile(join(images, id, `=${Buffer.from(`sha256:${id}`).toString('base64')}`), 'utf8'),
      };
    },
    remove: async () => {
      const storageThere = (await readdir(btrfs.path)).includes('storage');
      if (storageThere) {
        await podman('image', 'umount', '--all', '--force');
        await buildah('rm', '--all');
      }
      await btrfs.remove();
    },
  };
}
