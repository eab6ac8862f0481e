import { InvalidManifestError, LayerFormatError } from '../../errors.js';
import { EMPTY_LAYER, MAX_V1_JSON_BYTES, parseV1Image } from '../../spec/index.js';
import { parseRange } from '../byte-range.js';
import type { Exchange } from '../exchange.js';
import { readBody } from '../read-body.js';
import { sendFile } from '../send-file.js';
import type { V1Images } from './images.js';
import type { ServedV1Image, V1Storage, V1Writer } from './types.js';
import { v1Error } from './v1-error.js';

/** GET images/ID/json: the exact bytes that were pushed, with size and checksum of the layer in headers. */
export async function getJson(exchange: Exchange, images: V1Images, id: string): Promise<void> {
  const { json, layer, payloadChecksum } = await found(images, id);
  exchange.answer(
    200,
    {
      'Content-Type': 'application/json',
      'X-Docker-Size': layer?.blob.size ?? EMPTY_LAYER.length,
      ...(payloadChecksum === undefined ? {} : { 'X-Docker-Checksum-Payload': payloadChecksum }),
    },
    json,
  );
}

/** GET images/ID/ancestry: the image first, its root last. */
export async function getAncestry(exchange: Exchange, images: V1Images, id: string): Promise<void> {
  await found(images, id);
  const chain = await images.chain(id);
  if (chain === undefined) throw v1Error(404, 'Image not found: one below it is missing');
  exchange.json(chain.map((image) => image.id).reverse());
}

/** GET images/ID/layer, complete or one range. */
export async function getLayer(exchange: Exchange, images: V1Images, id: string): Promise<void> {
  const { layer } = await found(images, id);
  const headers = { 'Accept-Ranges': 'bytes', 'Content-Type': 'application/octet-stream' };
  if (layer === undefined) return exchange.answer(200, headers, EMPTY_LAYER);
  const opened = await layer.open();
  if (opened === undefined) throw v1Error(404, 'Layer not found');
  const { handle, size } = opened;
  try {
    const range = parseRange(exchange.request.headers.range, size);
    if (range === 'unsatisfiable') {
      throw v1Error(416, `The layer has ${size} bytes`, { 'Content-Range': `bytes */${size}` });
    }
    const { start, length } = range ?? { start: 0, length: size };
    const partial = range === undefined ? {} : { 'Content-Range': `bytes ${start}-${start + length - 1}/${size}` };
    if (exchange.request.method === 'HEAD' || length === 0)
      return exchange.answer(200, { ...headers, 'Content-Length': size });
    exchange.response.writeHead(range === undefined ? 200 : 206, { ...headers, ...partial, 'Content-Length': length });
    exchange.bytesSent += await sendFile(exchange.response, handle, { start, length });
  } finally {
    await handle.close();
  }
}

/** PUT images/ID/json: starts or restarts the image. Its parent must exist. */
export async function putJson(exchange: Exchange, images: V1Images, id: string): Promise<void> {
  const writer = writerOf(exchange);
  const bytes = await readBody(exchange, MAX_V1_JSON_BYTES);
  if (bytes === undefined) throw v1Error(413, 'The JSON is too large');
  const { parent } = parse(bytes, id);
  const there = await images.find(id);
  if (there !== undefined && there !== 'in progress') throw v1Error(409, 'Image already exists');
  if (parent !== undefined && (await images.find(parent)) === undefined)
    throw v1Error(400, 'Image depends on a non existing parent');
  if (!(await writer.begin(id, bytes))) throw v1Error(409, 'Image already exists');
  exchange.json(true);
}

/** PUT images/ID/layer: stores the bytes unchanged. */
export async function putLayer(exchange: Exchange, id: string): Promise<void> {
  const writer = writerOf(exchange);
  const now = await storageOf(exchange).find(id);
  if (now === undefined) throw v1Error(404, 'Image not found: push its JSON first');
  if (now.complete) throw v1Error(409, 'Image already exists');
  try {
    if (!(await writer.putLayer(id, undisturbed(exchange))))
      throw v1Error(409, 'Another client has started this image again');
  } catch (error) {
    if (error instanceof LayerFormatError) throw v1Error(400, error.message);
    throw error;
  }
  exchange.json(true);
}

/** PUT images/ID/checksum: completes the image if the checksum matches the received data. */
export async function putChecksum(exchange: Exchange, id: string): Promise<void> {
  const writer = writerOf(exchange);
  const stated = exchange.request.headers['x-docker-checksum-payload'];
  const now = await storageOf(exchange).find(id);
  if (now === undefined) throw v1Error(404, 'Image not found');
  if (now.complete) throw v1Error(409, 'Cannot set this image checksum: it is complete');
  if (stated === undefined) throw v1Error(412, 'X-Docker-Checksum-Payload is missing');
  if (now.layer === undefined) throw v1Error(400, 'The layer is missing: push it first');
  const sums = [stated].flat().flatMap((line) => line.split(',').map((sum) => sum.trim()));
  if (!sums.includes(now.layer.payloadChecksum)) throw v1Error(400, 'Checksum mismatch');
  if (!(await writer.complete(id, now.layer.payloadChecksum)))
    throw v1Error(409, 'Another client has started this image again');
  exchange.json(true);
}

async function found(images: V1Images, id: string): Promise<ServedV1Image> {
  const image = await images.find(id);
  if (image === undefined) throw v1Error(404, 'Image not found');
  if (image === 'in progress') throw v1Error(400, 'Image is being uploaded, retry later');
  return image;
}

function parse(bytes: Buffer, id: string): { readonly parent: string | undefined } {
  try {
    return parseV1Image(bytes, id);
  } catch (error) {
    if (error instanceof InvalidManifestError) throw v1Error(400, `Invalid JSON: ${error.message}`);
    throw error;
  }
}

/** The body, without an idle timeout, because no data arrives while the layer is read again. */
async function* undisturbed(exchange: Exchange): AsyncGenerator<Buffer> {
  yield* exchange.body();
  exchange.request.socket.setTimeout(0);
}

function storageOf({ storage }: Exchange): V1Storage {
  if (storage.v1 === undefined) throw v1Error(405, 'This registry does not accept images over protocol v1');
  return storage.v1;
}

function writerOf(exchange: Exchange): V1Writer {
  // Reports a read-only registry first.
  void exchange.writer;
  const { writer } = storageOf(exchange);
  if (writer === undefined) throw v1Error(405, 'This registry is read-only');
  return writer;
}
