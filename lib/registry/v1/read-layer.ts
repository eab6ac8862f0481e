import { Readable } from 'node:stream';
import { DigestMismatchError, RegistryError, SizeMismatchError, TransportError } from '../../errors.js';
import { redactUrl, type StreamedResponse } from '../../http/index.js';
import { beginPayloadChecksum, digestFrom, type Digest } from '../../spec/index.js';
import { backoffMs, delay, gzipUnsupported } from '../../util/index.js';
import { imageAsked, type V1Place } from './place.js';
import { isUploading, v1StreamError } from './responses.js';
import { TarSumCheck } from './tar-sum-check.js';
import type { LayerPart, ReadLayer, ReadLayerOptions, V1RemoteImage } from './types.js';

/** Consecutive interruptions without progress before a read fails. */
const RETRIES = 5;
/** After this much progress on one connection, the count of failures restarts. Bytes. */
const PROGRESS_BYTES = 64 * 1024;

/** Implements V1Repository.readLayer. */
export async function readLayer<T>(place: V1Place, id: string, options: ReadLayerOptions<T>): Promise<ReadLayer<T>> {
  // Avoids an unhandled rejection when the promise fails before it is awaited.
  options.image.catch(() => undefined);
  return place.session.atAny(options.signal, async (endpoint, last) => {
    for (let again = false; ; again = true) {
      try {
        return await readOnce(place, id, { ...options, endpoint, last });
      } catch (error) {
        if (again || !(error instanceof DigestMismatchError || error instanceof SizeMismatchError)) throw error;
        options.onRetry?.(`${error.message}; fetching it again`);
        await options.part?.restart();
      }
    }
  });
}

type Reading<T> = ReadLayerOptions<T> & { readonly endpoint: string; readonly last: boolean };

async function readOnce<T>(place: V1Place, id: string, options: Reading<T>): Promise<ReadLayer<T>> {
  const outcome: { checksum?: Digest; failure?: unknown } = {};
  const bytes = async function* (): AsyncGenerator<Buffer> {
    try {
      outcome.checksum = yield* checked(place, id, options);
    } catch (error) {
      outcome.failure = error;
      throw error;
    }
  };
  const layer = await gzipUnsupported(bytes(), options.signal);
  try {
    const result = await options.consume(Readable.from(layer.bytes, { objectMode: false }), layer.converted);
    return { result, payloadChecksum: outcome.checksum!, converted: layer.converted };
  } catch (error) {
    // The consumer's error about a broken stream says less than the cause.
    throw (outcome.failure ?? error) as Error;
  } finally {
    await layer.close();
  }
}

/** The bytes as sent. Ends without an error only when they match the registry's checksums. Returns the payload checksum. */
async function* checked<T>(place: V1Place, id: string, options: Reading<T>): AsyncGenerator<Buffer, Digest> {
  const { part } = options;
  const from = part === undefined ? 0 : await bytesToKeep(part, options.image);
  const isWhole = from > 0 && from === (await options.image).layerSize;
  const received = isWhole ? nothing() : receive(place, id, options, from);
  // Requests the layer while the JSON is still being fetched.
  const first = received.next();
  first.catch(() => undefined);
  const image = await options.image.catch(async (error: unknown) => {
    await received.return(undefined);
    throw error;
  });
  const hash = beginPayloadChecksum(image.bytes);
  const tarSum =
    image.tarSum === undefined || image.payloadChecksums.length > 0
      ? undefined
      : new TarSumCheck(image.tarSum, image.bytes);
  const check = async (chunk: Buffer): Promise<Buffer> => {
    hash.update(chunk);
    await tarSum?.write(chunk);
    return chunk;
  };
  try {
    if (from > 0) for await (const chunk of part!.read()) yield await check(chunk);
    for (let next = await first; next.done !== true; next = await received.next()) {
      await part?.write(next.value);
      yield await check(next.value);
    }
    const checksum = digestFrom(hash);
    if (image.payloadChecksums.length > 0 && !image.payloadChecksums.includes(checksum)) {
      throw layerDigestError(place, id, image.payloadChecksums[0]!, checksum);
    }
    const sum = await tarSum?.end();
    if (sum !== undefined && sum !== image.tarSum && tarSum?.isDoubtful === false)
      throw layerDigestError(place, id, image.tarSum!, sum);
    return checksum;
  } finally {
    await received.return(undefined);
    tarSum?.close();
  }
}

/**
 * The number of bytes of an earlier attempt that can be reused. Without a checksum from the registry, a layer replaced
 * since then would go unnoticed.
 */
async function bytesToKeep(part: LayerPart, image: Promise<V1RemoteImage>): Promise<number> {
  if (part.offset === 0) return 0;
  const { payloadChecksums, tarSum, layerSize } = await image;
  const isProvable = payloadChecksums.length > 0 || tarSum !== undefined;
  if (!isProvable || part.offset > (layerSize ?? Infinity)) await part.restart();
  return part.offset;
}

// oxlint-disable-next-line typescript/require-await
async function* nothing(): AsyncGenerator<Buffer> {
  yield* [];
}

function layerDigestError(place: V1Place, id: string, expected: string, actual: string): DigestMismatchError {
  return new DigestMismatchError(
    `the layer of v1 image ${id} has the checksum ${actual}, but the registry states ${expected}`,
    { expected, actual, hint: `the image is damaged at ${place.session.host.options.host}: push it again` },
  );
}

/** The bytes as sent from byte `from` on, over as many connections as needed. */
async function* receive<T>(place: V1Place, id: string, options: Reading<T>, from: number): AsyncGenerator<Buffer> {
  const { signal, onProgress, onRetry } = options;
  const { backoffBaseMs } = place.session.host.options;
  let received = from;
  let failures = 0;
  // After an earlier process, range support is unknown; the response shows it.
  let ranges = from > 0;
  let announced: number | undefined;
  /** The size stated by the registry takes precedence over the length of one response. */
  const size = async (): Promise<number | undefined> => (await options.image).layerSize ?? announced;
  for (;;) {
    const start = received;
    try {
      const range = start > 0 && ranges ? rangeAfter(start, await size()) : undefined;
      const answer = await get(place, id, { ...options, range, start });
      if (answer === undefined) return;
      const { response } = answer;
      const length = lengthOf(response);
      if (response.status === 200) {
        ranges = /\bbytes\b/i.test([response.headers['accept-ranges'] ?? ''].flat().join());
        announced = length;
      }
      let { skip } = answer;
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        const useful = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - useful.length;
        if (useful.length === 0) continue;
        received += useful.length;
        onProgress?.(received);
        yield useful;
      }
      const isFramed = length !== undefined || 'transfer-encoding' in response.headers;
      const expected = isFramed ? undefined : await size();
      if (expected === undefined || received >= expected) return;
      const { host } = new URL(options.endpoint);
      const message = `the layer of v1 image ${id} ended at byte ${received} of ${expected}`;
      throw new TransportError(message, { host, phase: 'body' });
    } catch (error) {
      signal.throwIfAborted();
      failures = received - start >= PROGRESS_BYTES ? 1 : failures + 1;
      if (isUploading(error) && failures <= RETRIES) {
        // The JSON becomes available when the upload of the image is complete.
        await options.image;
        await delay(backoffMs(failures, backoffBaseMs), signal);
        continue;
      }
      if (!(error instanceof TransportError) || error.phase !== 'body') throw error;
      // If the announced length was too large, the transfer fails after the last byte.
      if (received === (await size())) return;
      if (failures > RETRIES) throw error;
      onRetry?.(`${error.message}; resuming at byte ${received}`);
      await delay(backoffMs(failures, backoffBaseMs), signal);
    }
  }
}

/**
 * The range that starts at `offset`. Its end is the last byte, because the Python server stalls when it is one more;
 * the server answers a range of one byte with 416. Undefined when no range can be requested.
 */
function rangeAfter(offset: number, size: number | undefined): { start: number; end: number } | undefined {
  if (size === undefined || size < 2 || offset >= size) return undefined;
  const start = Math.min(offset, size - 2);
  return { start, end: size - 1 };
}

async function get<T>(
  place: V1Place,
  id: string,
  options: Reading<T> & { readonly start: number; readonly range: { start: number; end: number } | undefined },
): Promise<{ readonly response: StreamedResponse; readonly skip: number } | undefined> {
  const { session } = place;
  const { endpoint, last, range, start, signal, priority = 0 } = options;
  const response = await session.stream(endpoint, {
    method: 'GET',
    path: `images/${id}/layer`,
    headers: range === undefined ? {} : { range: `bytes=${range.start}-${range.end}` },
    signal,
    priority,
    ...(last ? {} : { retries: 1, connectRetries: 0 }),
  });
  if (response.status === 200) return { response, skip: start };
  if (response.status === 206 && range !== undefined) {
    const from = /^(?:bytes )?(\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
    if (Number(from) === range.start) return { response, skip: start - range.start };
    response.body.destroy();
    throw new RegistryError(
      `${session.host.options.host} sent a different range of the layer of ${id} than requested`,
      {
        status: response.status,
        method: 'GET',
        url: redactUrl(response.url),
      },
    );
  }
  if (response.status === 416 && range !== undefined) {
    response.body.destroy();
    return get(place, id, { ...options, range: undefined });
  }
  // The Python server cannot send an empty body with status 200.
  if (response.status === 416 && start === 0 && (await options.image).layerSize === 0) {
    response.body.destroy();
    return undefined;
  }
  throw await v1StreamError(response, imageAsked(place, id));
}

function lengthOf({ headers }: StreamedResponse): number | undefined {
  const text = headers['content-length'];
  return text === undefined || !/^\d{1,15}$/.test(text) ? undefined : Number(text);
}
