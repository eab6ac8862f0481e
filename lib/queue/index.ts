/**
 * Jobs in BullMQ on Redis: put by one process, taken by workers on any machine. A job is a name, a lane (what shares a
 * rate limit) and a payload that is JSON; what it means is the caller's. Knows nothing of registries or images.
 * Loads bullmq and ioredis, which it alone may import, on first use. May import util, errors, progress.
 */
export { JobQueue, type JobQueueOptions } from './job-queue.js';
export { JobWorker, type JobWorkerOptions } from './job-worker.js';
export { parseQueueAddress } from './queue-address.js';
export { parseRate } from './rate.js';
export type * from './types.js';
