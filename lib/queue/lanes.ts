import type { Redis } from 'ioredis';

/** Before all keys of Redis that belong to imgtool. */
export const PREFIX = 'imgtool';
/** Set of the lanes that ever had a job. */
const LANES = `${PREFIX}:lanes`;
const MAX_LANES = 1000;

/** Makes lanes known to workers. */
export async function announceLanes(redis: Redis, lanes: readonly string[]): Promise<void> {
  if (lanes.length > 0) await redis.sadd(LANES, ...lanes);
}

/** All lanes that are known. */
export async function knownLanes(redis: Redis): Promise<string[]> {
  return (await redis.smembers(LANES)).sort().slice(0, MAX_LANES);
}

/** BullMQ's queue of a lane: its names have no colons. */
export function queueName(lane: string): string {
  return `sync-${lane.replace(/:/g, '@')}`;
}
