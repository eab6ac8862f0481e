/** Writes OCI image layouts (image-spec image-layout.md) from tables of entries, independent of lib/. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { writeTar, type TarEntry } from './tar-writer.js';

/** One layer of an image to write. */
export interface LayerTable {
  readonly entries: readonly TarEntry[];
  /** What history says of it. */
  readonly createdBy?: string;
  /** Default gzip. */
  readonly compression?: 'gzip' | 'none';
  /** Makes the layer non-distributable, with these URLs; its blob is in the layout all the same. */
  readonly urls?: readonly string[];
}

/** One image to write; several with one tag become an index of platforms. */
export interface ImageTable {
  readonly tag: string;
  readonly layers: readonly LayerTable[];
  /** Default linux on the machine's own architecture. */
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  /** The config's `config` object: Cmd, Env, … */
  readonly config?: Readonly<Record<string, unknown>>;
}

interface OciDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly urls?: readonly string[];
}

const OCI = 'application/vnd.oci.image';
const CREATED = '2023-11-14T22:13:20Z';
const HOST_ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

/** Writes a layout directory; resolves with the digest of each tag's manifest or index. The same tables give the same bytes. */
export async function writeOciLayout(directory: string, images: readonly ImageTable[]): Promise<Map<string, string>> {
  const blobs = join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, body: Uint8Array): Promise<OciDescriptor> => {
    const hex = createHash('sha256').update(body).digest('hex');
    await writeFile(join(blobs, hex), body);
    return { mediaType, digest: `sha256:${hex}`, size: body.length };
  };
  const putJson = (mediaType: string, value: unknown): Promise<OciDescriptor> =>
    put(mediaType, Buffer.from(JSON.stringify(value)));

  const tags = new Map<string, (OciDescriptor & { platform: object })[]>();
  for (const image of images) {
    const platform = image.platform ?? { os: 'linux', architecture: HOST_ARCHITECTURE };
    const diffIds: string[] = [];
    const layers: OciDescriptor[] = [];
    for (const layer of image.layers) {
      const tar = writeTar(layer.entries);
      diffIds.push(`sha256:${createHash('sha256').update(tar).digest('hex')}`);
      const plain = layer.compression === 'none';
      const kind = layer.urls === undefined ? '' : 'nondistributable.';
      const blob = await put(`${OCI}.layer.${kind}v1.tar${plain ? '' : '+gzip'}`, plain ? tar : gzipSync(tar));
      layers.push(layer.urls === undefined ? blob : { ...blob, urls: layer.urls });
    }
    const config = await putJson(`${OCI}.config.v1+json`, {
      created: CREATED,
      ...platform,
      config: image.config ?? {},
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: image.layers.map((layer) => ({ created: CREATED, created_by: layer.createdBy ?? 'test' })),
    });
    const mediaType = `${OCI}.manifest.v1+json`;
    const manifest = await putJson(mediaType, { schemaVersion: 2, mediaType, config, layers });
    tags.set(image.tag, [...(tags.get(image.tag) ?? []), { ...manifest, platform }]);
  }

  const index = `${OCI}.index.v1+json`;
  const manifests: object[] = [];
  const digests = new Map<string, string>();
  for (const [tag, descriptors] of tags) {
    const [first] = descriptors;
    if (first === undefined) continue;
    const top =
      descriptors.length === 1
        ? first
        : await putJson(index, { schemaVersion: 2, mediaType: index, manifests: descriptors });
    digests.set(tag, top.digest);
    manifests.push({ ...top, annotations: { 'org.opencontainers.image.ref.name': tag } });
  }
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: index, manifests }));
  return digests;
}
