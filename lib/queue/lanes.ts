import type { Redis } from 'ioredis';

/** Before all keys of Redis that belong to imgtool. */
export const PREFIX = 'imgtool';
/** Set of the lanes that ever had a job. */
const LANES = `${PREFIX}:lanes`;
const MAX_LANES = 1000;
/** Of the names that are in the set: who can write to Redis can put anything there. */
const LANE_NAME = /^[\w.:[\]-]{1,300}$/;

/** Makes lanes known to workers. Their names: letters, digits and `._:[]-`. */
export async function announceLanes(redis: Redis, lanes: readonly string[]): Promise<void> {
  if (lanes.length > 0) await redis.sadd(LANES, ...lanes);
}

/** All lanes that are known; names that no lane can have are left out. */
export async function knownLanes(redis: Redis): Promise<string[]> {
  return (await redis.smembers(LANES))
    .filter((lane) => LANE_NAME.test(lane))
    .sort()
    .slice(0, MAX_LANES);
}

/** BullMQ's queue of a lane: its names have no colons. */
export function queueName(lane: string): string {
  return `sync-${lane.replace(/:/g, '@')}`;
}
