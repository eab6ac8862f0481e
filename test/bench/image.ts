/** The images that are measured with: Debian in five layers, or synthetic ones; made once, kept in the user's cache. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { writeOciLayout, type LayerTable } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { writeTar } from '../helpers/tar-writer.js';

/** An image served by a registry on loopback, its layout at hand for the floor. */
export interface BenchImage {
  /** `127.0.0.1:PORT/bench/image:1`. */
  readonly reference: string;
  readonly registry: DockerRegistry;
  /** Paths of the compressed layers, oldest first. */
  readonly layers: readonly string[];
  /** What it is, for the report. */
  readonly description: string;
  /** Bytes of all compressed layers. */
  readonly compressedSize: number;
}

/** Where images are kept: `$XDG_CACHE_HOME/imgtool-bench`. */
export const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'imgtool-bench');

/** Makes (or finds) the image and serves it; `quick`, or no debootstrap: a synthetic one. Stop `registry` when done. */
export async function serveBenchImage(quick: boolean): Promise<BenchImage> {
  const debian = !quick && (existsSync('/usr/sbin/debootstrap') || existsSync(join(CACHE, 'debian')));
  const layout = join(CACHE, debian ? 'debian' : quick ? 'synthetic-small' : 'synthetic');
  if (debian) {
    if (!existsSync(layout)) process.stderr.write('bench: making the Debian image, four to ten minutes, once\n');
    await run('fixtures/big-image/make', [layout]);
  } else if (!existsSync(layout)) await makeOnce(layout, (path) => writeSynthetic(path, quick ? 500 : 8000));
  const description = debian ? 'Debian bookworm, 5 layers' : 'synthetic, 5 layers';
  return serveLayout(layout, debian ? '5' : '1', description);
}

/** Serves one layer with one file of `sizeBytes`, half of it random. Stop `registry` when done. */
export async function serveOneLayer(sizeBytes: number): Promise<BenchImage> {
  const layout = join(CACHE, `one-layer-${sizeBytes}`);
  if (!existsSync(layout)) await makeOnce(layout, (path) => writeOneLayer(path, sizeBytes));
  return serveLayout(layout, '1', `one layer of ${Math.round(sizeBytes / 1e6)} MB`);
}

/** Path of a compressed tar with `files` tiny files, a thousand a directory; made once. */
export async function manyFilesTar(files: number): Promise<string> {
  const directory = join(CACHE, `many-files-${files}`);
  const tar = 'layer.tar.gz';
  if (!existsSync(directory)) await makeOnce(directory, (path) => writeManyFiles(join(path, tar), files));
  return join(directory, tar);
}

/** Makes a layout beside its place and renames it: an interrupted run leaves nothing that looks finished. */
async function makeOnce(layout: string, make: (path: string) => Promise<unknown>): Promise<void> {
  await mkdir(dirname(layout), { recursive: true });
  const work = await mkdtemp(join(dirname(layout), '.new-'));
  try {
    await make(work);
    await rename(work, layout);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function serveLayout(layout: string, tag: string, description: string): Promise<BenchImage> {
  const index = (await readJson(join(layout, 'index.json'))) as { manifests: { digest: string }[] };
  const blob = (digest: string): string => join(layout, 'blobs/sha256', digest.slice('sha256:'.length));
  const manifest = (await readJson(blob(index.manifests[0]?.digest ?? ''))) as {
    layers: { digest: string; size: number }[];
  };
  const registry = await startDockerRegistry();
  try {
    const reference = `${registry.host}/bench/image:1`;
    await skopeoCopy(`oci:${layout}:${tag}`, `docker://${reference}`);
    return {
      reference,
      registry,
      layers: manifest.layers.map((layer) => blob(layer.digest)),
      description,
      compressedSize: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
    };
  } catch (error) {
    await registry.stop();
    throw error;
  }
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'));
}

/** Five layers of `files` files each, about 6 KB a file, text-like and random mixed; deterministic. */
function writeSynthetic(layout: string, files: number): Promise<unknown> {
  const layers: LayerTable[] = [];
  for (let layer = 0; layer < 5; layer++) {
    const entries = Array.from({ length: files }, (_, n) => {
      const seed = createHash('sha512').update(`${layer}/${n}`).digest();
      const rounds = 1 + ((seed[0] ?? 0) % 128);
      const content = Array.from({ length: rounds }, (_line, round) =>
        createHash('sha512').update(seed).update(String(round)).digest('base64'),
      ).join('\n');
      return { path: `l${layer}/d${n % 50}/f${n}`, content };
    });
    const directories = [`l${layer}`, ...Array.from({ length: 50 }, (_, n) => `l${layer}/d${n}`)];
    layers.push({ entries: [...directories.map((path) => ({ path, type: 'dir' as const })), ...entries] });
  }
  return writeOciLayout(layout, [{ tag: '1', layers }]);
}

async function writeManyFiles(path: string, files: number): Promise<void> {
  const perDirectory = 1000;
  function* blocks(): Generator<Buffer> {
    for (let first = 0; first < files; first += perDirectory) {
      const directory = `many/d${first / perDirectory}`;
      const entries = Array.from({ length: Math.min(perDirectory, files - first) }, (_, n) => ({
        path: `${directory}/f${n}`,
        content: `file ${first + n}\n`,
      }));
      const parents = first === 0 ? ['many', directory] : [directory];
      const tar = writeTar([...parents.map((parent) => ({ path: parent, type: 'dir' as const })), ...entries]);
      // Without its end.
      yield tar.subarray(0, -1024);
    }
    yield Buffer.alloc(1024);
  }
  await pipeline(blocks, createGzip({ level: 1 }), createWriteStream(path));
}

async function writeOneLayer(layout: string, sizeBytes: number): Promise<void> {
  const rootfs = join(layout, 'rootfs');
  await mkdir(rootfs);
  const mebibytes = Math.ceil(sizeBytes / 2 ** 20);
  const fill = `for i in $(seq 1 ${mebibytes}); do head -c 524288 /dev/urandom; head -c 524288 /dev/zero; done >"$0"`;
  await run('sh', ['-c', fill, join(rootfs, 'file')]);
  const blob = join(layout, 'layer');
  await run('sh', ['-c', 'tar -C "$0" -cf - file | gzip -1n >"$1"', rootfs, blob]);
  const diffId = (await run('sh', ['-c', 'gzip -dc "$0" | sha256sum', blob])).slice(0, 64);
  await rm(rootfs, { recursive: true });

  const hash = createHash('sha256');
  for await (const chunk of createReadStream(blob)) hash.update(chunk as Buffer);
  const directory = join(layout, 'blobs/sha256');
  await mkdir(directory, { recursive: true });
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: `sha256:${hash.digest('hex')}` };
  const { size } = await stat(blob);
  await rename(blob, join(directory, layer.digest.slice('sha256:'.length)));
  const put = async (
    mediaType: string,
    value: unknown,
  ): Promise<{ mediaType: string; digest: string; size: number }> => {
    const body = JSON.stringify(value);
    const hex = createHash('sha256').update(body).digest('hex');
    await writeFile(join(directory, hex), body);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(body) };
  };
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfsIds = { type: 'layers', diff_ids: [`sha256:${diffId}`] };
  const config = await put('application/vnd.oci.image.config.v1+json', {
    os: 'linux',
    architecture,
    rootfs: rootfsIds,
  });
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [{ ...layer, size }] };
  const top = { ...(await put(manifestType, manifest)), annotations: { 'org.opencontainers.image.ref.name': '1' } };
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top] }));
}
