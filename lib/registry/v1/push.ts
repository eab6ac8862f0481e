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
/** Images asked for at the same time whether they are there. */
const PARALLEL_PROBES = 6;
/** Uploads of one image that may break: a new one starts over. */
const UPLOAD_TRIES = 3;

/** Uploads images as V1Repository.push says (docker distribution/push_v1.go). */
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

/** Tells the index what comes; resolves with the endpoints to push to. */
async function announce(place: V1Place, images: readonly V1Upload[], signal: AbortSignal): Promise<readonly string[]> {
  const { session, repository, path } = place;
  const { host } = session.host.options;
  const asked: Asked = { method: 'PUT', host, kind: 'repository', subject: `${host}/${repository}` };
  const body = Buffer.from(JSON.stringify(images.map(({ image }) => ({ id: image.id }))));
  const request = { method: 'PUT', path: `repositories/${path}/`, headers: JSON_TYPE, body, signal } as const;
  const response = await session.index(request, MAX_ANSWER_BYTES);
  if (response.status !== 200 && response.status !== 201) throw v1Error(response, asked);
  if (session.namedEndpoints !== undefined) return session.namedEndpoints;
  throw new RegistryError(`${host} does not say where to push ${repository} to: it names no endpoints`, {
    status: response.status,
    method: 'PUT',
    url: redactUrl(response.url),
    hint: 'the index is not set up for pushing: its administrator has to give it X-Docker-Endpoints',
  });
}

/** The IDs that an endpoint has. With a token to write it may not say, which means: unknown, so send it. */
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

/** Uploads one image, or finds that it is there; resolves with its payload checksum in the first case. */
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
      onRetry?.(`${error.message}; sending the image again`);
    }
  }
}

/** A layer that arrived broken is worth another try; what the server does not let us do is not. */
function isRepeatable({ status }: RegistryError): boolean {
  return status === 400 || status >= 500;
}

/** False when the image is there already. */
async function putJson(place: V1Place, endpoint: string, { image }: V1Upload, signal: AbortSignal): Promise<boolean> {
  const path = `images/${image.id}/json`;
  const request = { method: 'PUT', path, headers: JSON_TYPE, body: image.bytes, signal } as const;
  const response = await place.session.request(endpoint, request, MAX_ANSWER_BYTES);
  if (isDone(response)) return true;
  if (response.status === 409 || /already exists/i.test(v1ErrorText(response.body))) return false;
  throw v1Error(response, imageAsked(place, image.id, 'PUT'));
}

/** Uploads a layer; resolves with the checksums of what was sent. */
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
    // One try: another one begins with the JSON.
    const request = { method: 'PUT', path: `images/${id}/layer`, headers, body, signal, retries: 0 } as const;
    const response = await place.session.request(endpoint, request, MAX_ANSWER_BYTES);
    if (!isDone(response)) throw v1Error(response, imageAsked(place, id, 'PUT'));
    return await sums!.end();
  } catch (error) {
    // HTTP makes an error of its own of what breaks the source.
    throw (failure.error ?? error) as Error;
  } finally {
    sums?.close();
  }
}

/** The layer from its start, summed; what fails here, and not at the connection, is told in `failure`. */
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

/** Tells the index what is there now: all of it, as some servers replace their list by this one. */
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

/** Both checksums of a layer on its way out. */
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
