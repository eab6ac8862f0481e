import type { Redis } from 'ioredis';

/** Prefix of all Redis keys of imgtool. */
export const PREFIX = 'imgtool';
/** Set of all lanes that ever had a job. */
const LANES = `${PREFIX}:lanes`;
const MAX_LANES = 1000;
/** Valid names in that set, in which anyone with write access to Redis can put anything. */
const LANE_NAME = /^[\w.:[\]-]{1,300}$/;

/** Announces lanes to workers. Names consist of letters, digits and `._:[]-`. */
export async function announceLanes(redis: Redis, lanes: readonly string[]): Promise<void> {
  if (lanes.length > 0) await redis.sadd(LANES, ...lanes);
}

/** All known lanes, without invalid names. */
export async function knownLanes(redis: Redis): Promise<string[]> {
  return (await redis.smembers(LANES))
    .filter((lane) => LANE_NAME.test(lane))
    .sort()
    .slice(0, MAX_LANES);
}

/** The name of a lane's BullMQ queue, which must not contain colons. */
export function queueName(lane: string): string {
  return `sync-${lane.replace(/:/g, '@')}`;
}
