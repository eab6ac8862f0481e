/** Artifacts that refer to images (signatures, SBOMs), as clients put them at registries without a referrers API. */
import { createHash } from 'node:crypto';

const EMPTY = Buffer.from('{}');

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function ok(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
}

/** Uploads a blob to a registry (`http://host`) in one piece; resolves with its digest. */
export async function putBlob(url: string, repository: string, bytes: Buffer): Promise<string> {
  const begun = await ok(await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' }));
  const location = new URL(begun.headers.get('location') ?? '', url);
  location.searchParams.set('digest', digestOf(bytes));
  const headers = { 'content-type': 'application/octet-stream' };
  await ok(await fetch(location, { method: 'PUT', body: new Uint8Array(bytes), headers }));
  return digestOf(bytes);
}

/** Puts a manifest or index under a tag or its digest; resolves with its descriptor. */
export async function putManifest(
  url: string,
  repository: string,
  document: { readonly mediaType: string },
  tag?: string,
): Promise<{ readonly mediaType: string; readonly digest: string; readonly size: number }> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes);
  const headers = { 'content-type': document.mediaType };
  await ok(
    await fetch(`${url}/v2/${repository}/manifests/${tag ?? digest}`, {
      method: 'PUT',
      body: new Uint8Array(bytes),
      headers,
    }),
  );
  return { mediaType: document.mediaType, digest, size: bytes.length };
}

/** Puts an artifact with one blob; `subject`: what it refers to. Resolves with its descriptor. */
export async function putArtifact(
  url: string,
  repository: string,
  artifact: {
    readonly content: string;
    readonly subject?: { readonly mediaType: string; readonly digest: string; readonly size: number };
    readonly tag?: string;
  },
): Promise<{ readonly mediaType: string; readonly digest: string; readonly size: number }> {
  const content = Buffer.from(artifact.content);
  const [config, layer] = [await putBlob(url, repository, EMPTY), await putBlob(url, repository, content)];
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return putManifest(
    url,
    repository,
    {
      ...{ schemaVersion: 2, artifactType: 'application/vnd.example.sbom' },
      mediaType,
      ...{ config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: config, size: EMPTY.length } },
      ...{ layers: [{ mediaType: 'application/vnd.example.sbom', digest: layer, size: content.length }] },
      ...(artifact.subject === undefined ? {} : { subject: artifact.subject }),
    },
    artifact.tag,
  );
}

/** Puts an image of one config (`created: null`: without a date) and the given layers (any bytes); resolves with its descriptor. */
export async function putImage(
  url: string,
  repository: string,
  tag: string,
  image: { readonly layers: readonly (string | Buffer)[]; readonly created?: string | null; readonly label?: string },
): Promise<{ readonly mediaType: string; readonly digest: string; readonly size: number }> {
  const config = Buffer.from(
    JSON.stringify({
      ...(image.created === null ? {} : { created: image.created ?? '2024-01-01T00:00:00Z' }),
      ...{ architecture: 'amd64', os: 'linux' },
      config: { Labels: { label: image.label ?? tag } },
      rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => digestOf(Buffer.from(layer))) },
    }),
  );
  const layers = [];
  for (const layer of image.layers) {
    const bytes = Buffer.from(layer);
    const digest = await putBlob(url, repository, bytes);
    layers.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes.length });
  }
  const digest = await putBlob(url, repository, config);
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const described = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length };
  return putManifest(url, repository, { ...{ schemaVersion: 2 }, mediaType, ...{ config: described, layers } }, tag);
}

/** Digest of each tag of a repository, as its registry tells. */
export async function digestsOf(url: string, repository: string): Promise<Map<string, string>> {
  const response = await fetch(`${url}/v2/${repository}/tags/list`);
  if (response.status === 404) return new Map();
  const { tags } = (await (await ok(response)).json()) as { tags: string[] | null };
  const accept = 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json';
  const digests = new Map<string, string>();
  for (const tag of (tags ?? []).sort()) {
    const found = await ok(
      await fetch(`${url}/v2/${repository}/manifests/${tag}`, { method: 'HEAD', headers: { accept } }),
    );
    digests.set(tag, found.headers.get('docker-content-digest') ?? '');
  }
  return digests;
}
