/** Worker thread that compresses blocks of tar. */
import { parentPort } from 'node:worker_threads';
import { compressBlock } from './compress-block.js';
import { answerJob, CLOSE, READY, type CompressJob } from './worker-protocol.js';

parentPort!.on('message', (job: CompressJob | typeof CLOSE) => {
  if (job === CLOSE) return parentPort!.close();
  void answerJob(() => compressBlock(job)).then((reply) =>
    parentPort!.postMessage(reply, reply.kind === 'done' ? [reply.result.buffer] : []),
  );
});
parentPort!.postMessage(READY);
