/** Worker thread that reads a layer blob, decompresses it into the ring and hashes the tar. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { LayerFormatError } from '../errors.js';
import { digestFrom, type DiffId } from '../spec/index.js';
import { GrowingFile } from '../util/index.js';
import { BlobReader } from './compression/blob-reader.js';
import { decoderFor } from './compression/decoder-for.js';
import { loadInflateEngine } from './compression/inflate-engines.js';
import { EXPANSION_FLOOR, MAX_EXPANSION } from './limits.js';
import { RingControl, RingProducer, SLOT_BYTES } from './ring.js';
import { answerJob, CLOSE, READY, type InflateJob, type InflateResult, type WorkerData } from './worker-protocol.js';
import type { InflateEngine } from './compression/inflate-engine.js';

const { ring, inflateEngine } = workerData as WorkerData;
const producer = new RingProducer(ring);
const control = new RingControl(ring);
const blob = new BlobReader(() => control.stopped);
let engine: InflateEngine | undefined;

async function inflate(job: InflateJob): Promise<InflateResult> {
  blob.open(job.fd, new GrowingFile(job.growing));
  const { compression, decoder } = decoderFor(blob, () => (engine ??= loadInflateEngine(inflateEngine)));
  const hash = createHash('sha256');
  let size = 0;
  for (let filled = SLOT_BYTES; filled === SLOT_BYTES;) {
    const slot = producer.acquire();
    filled = await decoder.read(slot);
    if (filled === 0) break;
    size += filled;
    if (size > EXPANSION_FLOOR && size > blob.offset * MAX_EXPANSION)
      throw new LayerFormatError(`the layer expands to over ${MAX_EXPANSION} times its size: a decompression bomb`);
    hash.update(filled === SLOT_BYTES ? slot.bytes : slot.bytes.subarray(0, filled));
    producer.publish(filled);
  }
  producer.end();
  return { diffId: digestFrom(hash) as DiffId, size, compression, notes: decoder.notes };
}

parentPort!.on('message', (job: InflateJob | typeof CLOSE) => {
  if (job === CLOSE) return parentPort!.close();
  void answerJob(() => inflate(job)).then((reply) => parentPort!.postMessage(reply));
});
parentPort!.postMessage(READY);
