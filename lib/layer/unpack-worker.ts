/** Thread that takes the tar stream out of the ring and makes files of it, by synchronous system calls. */
import { parentPort, workerData } from 'node:worker_threads';
import { dropThreadUmask } from '../sys/index.js';
import { RingConsumer } from './ring.js';
import { unpackLayer } from './unpack/unpacker.js';
import { answerJob, CLOSE, READY, type UnpackJob, type WorkerData } from './worker-protocol.js';

const { ring } = workerData as WorkerData;
const consumer = new RingConsumer(ring);
const exactModes = dropThreadUmask();

parentPort!.on('message', (job: UnpackJob | typeof CLOSE) => {
  if (job === CLOSE) return parentPort!.close();
  const { root, plainNames } = job;
  void answerJob(() => {
    consumer.reset();
    return unpackLayer(consumer, { root, plainNames, exactModes, stopped: () => consumer.stopped });
  }).then((reply) => parentPort!.postMessage(reply));
});
parentPort!.postMessage(READY);
