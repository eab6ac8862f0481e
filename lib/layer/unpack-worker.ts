/** Worker thread that takes the tar stream from the ring and unpacks or indexes it with synchronous system calls. */
import { parentPort, workerData } from 'node:worker_threads';
import { dropThreadUmask } from '../sys/index.js';
import { indexMembers } from './members/index-members.js';
import { RingConsumer } from './ring.js';
import { unpackLayer } from './unpack/unpacker.js';
import { answerJob, CLOSE, READY, type UnpackJob, type WorkerData } from './worker-protocol.js';

const { ring } = workerData as WorkerData;
const consumer = new RingConsumer(ring);
const exactModes = dropThreadUmask();

parentPort!.on('message', (job: UnpackJob | typeof CLOSE) => {
  if (job === CLOSE) return parentPort!.close();
  void answerJob(() => {
    consumer.reset();
    const stopped = (): boolean => consumer.stopped;
    if ('root' in job) return unpackLayer(consumer, { ...job, exactModes, stopped });
    const { entries } = indexMembers(consumer, { ...job, stopped });
    return { entries, notes: [] };
  }).then((reply) => parentPort!.postMessage(reply));
});
parentPort!.postMessage(READY);
