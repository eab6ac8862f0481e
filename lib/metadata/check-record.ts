import { isDigest, parseDescriptor } from '../spec/index.js';

/** Returns what is wrong with a value, or undefined when it is valid. */
type Check = (value: unknown) => string | undefined;

type Fields = Readonly<Record<string, Check>>;

const text = is('a string', (value) => typeof value === 'string');
const flag = is('true or false', (value) => typeof value === 'boolean');
const count = is('a whole number', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
const digest = is('a digest', isDigest);
const descriptor: Check = (value) => {
  try {
    parseDescriptor(value, 'it');
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

const IMAGE: Fields = {
  id: digest,
  names: listOf(text),
  sources: listOf(text),
  manifest: descriptor,
  config: descriptor,
  index: optional(descriptor),
  layers: listOf(descriptor),
  diffIds: listOf(digest),
  chainIds: listOf(digest),
  created: optional(text),
  platform: text,
  pulled: text,
};

const ORIGIN = fields({ uuid: text, parentUuid: text, transaction: count });

const LAYER: Fields = {
  chainId: digest,
  parent: optional(digest),
  diffId: digest,
  blob: optional(descriptor),
  size: count,
  entries: count,
  sealed: flag,
  bootId: text,
  origin: optional(ORIGIN),
};

const CONTAINER: Fields = {
  id: text,
  name: text,
  image: digest,
  imageName: text,
  base: optional(digest),
  created: text,
};

const UPLOAD: Fields = {
  key: text,
  host: text,
  repository: text,
  digest,
  location: text,
  offset: count,
  begun: text,
};

const STEP: Fields = {
  key: text,
  id: text,
  parent: optional(text),
  place: text,
  parts: listOf(fields({ name: text, value: text })),
  created: text,
  used: text,
  size: count,
  bootId: text,
  sealed: flag,
  origin: optional(ORIGIN),
  layer: optional(fields({ blob: descriptor, diffId: digest, sourceDateEpoch: optional(count) })),
};

/** Returns what is wrong with an image record, or undefined. */
export function imageRecordError(record: object): string | undefined {
  const wrong = fields(IMAGE)(record);
  if (wrong !== undefined) return wrong;
  const { layers, diffIds, chainIds } = record as Record<string, readonly unknown[]>;
  const same = layers!.length === diffIds!.length && layers!.length === chainIds!.length;
  return same ? undefined : 'layers, diffIds and chainIds differ in length';
}

/** Returns what is wrong with a layer record, or undefined. */
export const layerRecordError = fields(LAYER);

/** Returns what is wrong with a container record, or undefined. */
export const containerRecordError = fields(CONTAINER);

/** Returns what is wrong with an upload record, or undefined. */
export const uploadRecordError = fields(UPLOAD);

/** Returns what is wrong with a step record, or undefined. */
export const stepRecordError = fields(STEP);

/** Returns what is wrong with a cache mount record, or undefined. */
export const cacheRecordError = fields({ key: text, id: text, created: text, used: text });

function is(what: string, holds: (value: unknown) => boolean): Check {
  return (value) => (holds(value) ? undefined : `is not ${what}`);
}

function optional(check: Check): Check {
  return (value) => (value === undefined ? undefined : check(value));
}

function listOf(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return 'is not a list';
    return value.map(check).find((wrong) => wrong !== undefined);
  };
}

function fields(checks: Fields): Check {
  return (value) => {
    if (typeof value !== 'object' || value === null) return 'is not an object';
    for (const [name, check] of Object.entries(checks)) {
      const wrong = check((value as Record<string, unknown>)[name]);
      if (wrong !== undefined) return `${name} ${wrong}`;
    }
    return undefined;
  };
}
