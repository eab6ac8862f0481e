import type { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { RegistryError } from '../../errors.js';
import { redactUrl, type BufferedResponse } from '../../http/index.js';
import { beginPayloadChecksum, digestFrom, parseV1Image, MAX_V1_JSON_BYTES } from '../../spec/index.js';
import { mapLimited } from '../../util/index.js';
import { imageAsked, type V1Place } from './place.js';
import { v1Error, v1ErrorText, type Asked } from './responses.js';
import { TarSumCheck } from './tar-sum-check.js';
import type { V1PushOptions, V1Upload } from './types.js';

const MAX_ANSWER_BYTES = 1024 * 1024;
const JSON_TYPE = { 'content-type': 'application/json' };
/** Concurrent requests for the existence of images. */
const PARALLEL_PROBES = 6;
/** Attempts to upload one image; each starts over. */
const UPLOAD_TRIES = 3;

/** Implements V1Repository.push (docker distribution/push_v1.go). */
export async function pushImages(
  place: V1Place,
  images: readonly V1Upload[],
  options: V1PushOptions,
): Promise<ReadonlySet<string>> {
  const { signal } = options;
  const endpoints = await announce(place, images, signal);
  const uploaded = new Map<string, string>();
  for (const endpoint of endpoints) {
    const there = await probe(place, endpoint, { ids: images.map(({ image }) => image.id), signal });
    for (const upload of images) {
      const { id } = upload.image;
      if (there.has(id)) {
        options.onImage?.(id, 'skipped');
        continue;
      }
      const checksum = await uploadImage(place, endpoint, { upload, options });
      if (checksum === undefined) options.onImage?.(id, 'skipped');
      else uploaded.set(id, checksum);
    }
    for (const [tag, id] of Object.entries(options.tags)) await putTag(place, endpoint, { tag, id, signal });
  }
  await conclude(place, images, { ...options, endpoints, uploaded });
  return new Set(uploaded.keys());
}

/** Announces the images to the index. Resolves with the endpoints to push to. */
async function announce(place: V1Place, images: readonly V1Upload[], signal: AbortSignal): Promise<readonly string[]> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const asked: Asked = { method: 'PUT', host, kind: 'repository', subject: `${host}/${repository}` };
  const body = Buffer.from(JSON.stringify(images.map(({ image }) => ({ id: image.id }))));
  const request = { method: 'PUT', path: `repositories/${path}/`, headers: JSON_TYPE, body, signal } as const;
  const response = await session.index(request, MAX_ANSWER_BYTES);
  if (response.status !== 200 && response.status !== 201) throw v1Error(response, asked);
  if (session.namedEndpoints !== undefined) return session.namedEndpoints;
  throw new RegistryError(`${host} names no endpoints to push ${repository} to`, {
    status: response.status,
    method: 'PUT',
    url: redactUrl(response.url),
    hint: 'the index is not configured for pushing: its administrator must set X-Docker-Endpoints',
  });
}

/** Finds the images that an endpoint has. A write token may not grant this; then the result is unknown and the images are sent. */
export async function probe(
  { session }: V1Place,
  endpoint: string,
  { ids, signal }: { readonly ids: readonly string[]; readonly signal: AbortSignal },
): Promise<ReadonlySet<string>> {
  const there = new Set<string>();
  await mapLimited(ids, PARALLEL_PROBES, async (id) => {
    const request = { method: 'GET', path: `images/${id}/json`, signal, retries: 1 } as const;
    const { status, body } = await session.request(endpoint, request, MAX_V1_JSON_BYTES);
    if (status === 200 && isImage(body, id)) there.add(id);
  });
  return there;
}

function isImage(body: Buffer, id: string): boolean {
  try {
    return parseV1Image(body, id).id === id;
  } catch {
    return false;
  }
}

/** Uploads one image unless the endpoint has it. Resolves with its payload checksum, or undefined when nothing was sent. */
async function uploadImage(
  place: V1Place,
  endpoint: string,
  { upload, options }: { readonly upload: V1Upload; readonly options: V1PushOptions },
): Promise<string | undefined> {
  const { signal, onRetry } = options;
  const { image } = upload;
  for (let attempt = 1; ; attempt++) {
    if (!(await putJson(place, endpoint, upload, signal))) return undefined;
    try {
      const checksums = await putLayer(place, endpoint, { upload, options });
      await putChecksum(place, endpoint, { id: image.id, checksums, signal });
      options.onImage?.(image.id, 'done', upload.size);
      return checksums.payload;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError) || attempt >= UPLOAD_TRIES || !isRepeatable(error)) throw error;
      onRetry?.(`${error.message}; uploading the image again`);
    }
  }
}

/** A layer that arrived damaged is worth a retry; a refusal is not. */
function isRepeatable({ status }: RegistryError): boolean {
  return status === 400 || status >= 500;
}

/** Resolves with false when the endpoint already has the image. */
async function putJson(place: V1Place, endpoint: string, { image }: V1Upload, signal: AbortSignal): Promise<boolean> {
  const path = `images/${image.id}/json`;
  const request = { method: 'PUT', path, headers: JSON_TYPE, body: image.bytes, signal } as const;
  const response = await place.session.request(endpoint, request, MAX_ANSWER_BYTES);
  if (isDone(response)) return true;
  if (response.status === 409 || /already exists/i.test(v1ErrorText(response.body))) return false;
  throw v1Error(response, imageAsked(place, image.id, 'PUT'));
}

/** Uploads a layer. Resolves with the checksums of the bytes sent. */
async function putLayer(
  place: V1Place,
  endpoint: string,
  { upload, options }: { readonly upload: V1Upload; readonly options: V1PushOptions },
): Promise<Checksums> {
  const { id, bytes: json } = upload.image;
  const { signal } = options;
  const headers = { 'content-type': 'application/octet-stream' };
  const failure: { error?: unknown } = {};
  let sums: UploadSums | undefined;
  const body = (): Readable => {
    sums?.close();
    sums = new UploadSums(json);
    return Readable.from(bytesOf(upload, options, { sums, failure }), { objectMode: false });
  };
  try {
    // A single attempt, because a retry starts with the JSON again.
    const request = { method: 'PUT', path: `images/${id}/layer`, headers, body, signal, retries: 0 } as const;
    const response = await place.session.request(endpoint, request, MAX_ANSWER_BYTES);
    if (!isDone(response)) throw v1Error(response, imageAsked(place, id, 'PUT'));
    return await sums!.end();
  } catch (error) {
    // HTTP wraps an error of the source; the original is more useful.
    throw (failure.error ?? error) as Error;
  } finally {
    sums?.close();
  }
}

/**
 * Streams the layer from its start and updates the checksums. Errors of the source, unlike those of the connection, are
 * recorded in `failure`.
 */
async function* bytesOf(
  upload: V1Upload,
  { signal, onImage }: V1PushOptions,
  { sums, failure }: { readonly sums: UploadSums; readonly failure: { error?: unknown } },
): AsyncGenerator<Buffer> {
  let sent = 0;
  let own = true;
  try {
    for await (const chunk of (await upload.open({ signal })) as AsyncIterable<Buffer>) {
      await sums.write(chunk);
      own = false;
      yield chunk;
      own = true;
      sent += chunk.length;
      onImage?.(upload.image.id, 'active', sent);
    }
  } catch (error) {
    if (own) failure.error = error;
    throw error;
  }
}

async function putChecksum(
  place: V1Place,
  endpoint: string,
  upload: {
    readonly id: string;
    readonly checksums: Checksums;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { id, checksums, signal } = upload;
  const headers = {
    'x-docker-checksum-payload': checksums.payload,
    ...(checksums.tarSum === undefined ? {} : { 'x-docker-checksum': checksums.tarSum }),
  };
  const request = { method: 'PUT', path: `images/${id}/checksum`, headers, signal } as const;
  const response = await place.session.request(endpoint, request, MAX_ANSWER_BYTES);
  if (!isDone(response)) throw v1Error(response, imageAsked(place, id, 'PUT'));
}

async function putTag(
  place: V1Place,
  endpoint: string,
  { tag, id, signal }: { readonly tag: string; readonly id: string; readonly signal: AbortSignal },
): Promise<void> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const body = Buffer.from(JSON.stringify(id));
  const request = {
    method: 'PUT',
    path: `repositories/${path}/tags/${tag}`,
    headers: JSON_TYPE,
    body,
    signal,
  } as const;
  const response = await session.request(endpoint, request, MAX_ANSWER_BYTES);
  if (isDone(response)) return;
  throw v1Error(response, { method: 'PUT', host, kind: 'tag', subject: `${host}/${repository}:${tag}` });
}

/** Reports the complete list of images to the index, because some servers replace their list with it. */
async function conclude(
  place: V1Place,
  images: readonly V1Upload[],
  push: V1PushOptions & { readonly endpoints: readonly string[]; readonly uploaded: ReadonlyMap<string, string> },
): Promise<void> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const list = images.flatMap(({ image: { id } }) => {
    const checksum = push.uploaded.get(id);
    const entry = { id, ...(checksum === undefined ? {} : { checksum }) };
    const tags = Object.entries(push.tags).filter(([, tagged]) => tagged === id);
    return tags.length === 0 ? [entry] : tags.map(([tag]) => ({ ...entry, Tag: tag }));
  });
  const headers = {
    ...JSON_TYPE,
    'x-docker-endpoints': push.endpoints.map((endpoint) => new URL(endpoint).host).join(','),
  };
  const body = Buffer.from(JSON.stringify(list));
  const request = { method: 'PUT', path: `repositories/${path}/images`, headers, body, signal: push.signal } as const;
  const response = await session.index(request, MAX_ANSWER_BYTES);
  if (response.status === 204 || response.status === 200) return;
  throw v1Error(response, { method: 'PUT', host, kind: 'repository', subject: `${host}/${repository}` });
}

function isDone({ status }: BufferedResponse): boolean {
  return status >= 200 && status < 300;
}

interface Checksums {
  readonly payload: string;
  readonly tarSum: string | undefined;
}

/** Computes both checksums of a layer while it is sent. */
class UploadSums {
  readonly #payload: ReturnType<typeof createHash>;
  readonly #tarSum: TarSumCheck;

  constructor(json: Buffer) {
    this.#payload = beginPayloadChecksum(json);
    this.#tarSum = new TarSumCheck('tarsum+', json);
  }

  async write(bytes: Buffer): Promise<void> {
    this.#payload.update(bytes);
    await this.#tarSum.write(bytes);
  }

  async end(): Promise<Checksums> {
    return { tarSum: await this.#tarSum.end(), payload: digestFrom(this.#payload) };
  }

  close(): void {
    this.#tarSum.close();
  }
}
