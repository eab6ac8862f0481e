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
