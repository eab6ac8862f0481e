/**
 * A queue of jobs in BullMQ on Redis: added by one process, processed by workers on any machine. A job has a name, a lane
 * (jobs that share a rate limit) and a JSON payload, whose meaning is up to the caller. Knows nothing of registries or
 * images. Loads bullmq and ioredis, which no other room may import, on first use. May import util, errors, progress.
 */
export { JobQueue, type JobQueueOptions } from './job-queue.js';
export { JobWorker, type JobWorkerOptions } from './job-worker.js';
export { parseQueueAddress } from './queue-address.js';
export { parseRate } from './rate.js';
export type * from './types.js';
