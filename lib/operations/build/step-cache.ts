import { createHash, randomBytes } from 'node:crypto';
import type { HeldLock, KeyPart, StepLayer, StepRecord } from '../../metadata/index.js';
import type { OperationDeps } from '../deps.js';
import { stepSubvolume } from '../store/index.js';
import type { StepKey, StepTree } from './types.js';

type CacheDeps = Pick<OperationDeps, 'metadata' | 'snapshots'>;

/** Longer values are recorded as digests. */
const LONGEST_VALUE = 200;
/** Changes when the meaning of keys changes. */
const VERSION = '1';

/** Records the use of a step at most once in this time, in ms, because writing waits for the disk. */
const USED_MS = 10 * 60 * 1000;

/** A step to look up, and to record after it ran. */
export interface CachedStep {
  readonly stepKey: StepKey;
  /** The files it runs on. */
  readonly below: StepTree | undefined;
  /** Its place in a Dockerfile. */
  readonly place: string;
}

/** Why a step was not cached: the parts of its key that changed since the last time, or another reason in words. */
type Miss = readonly string[];

/** The results of steps by key. Call with the store locked. */
export class StepCache {
  readonly #deps: CacheDeps;
  readonly #ttlMs: number;
  /** Steps that this build used or made, by key; never read again. */
  readonly #seen = new Map<string, StepRecord>();

  constructor(deps: CacheDeps, { ttlMs = Infinity }: { readonly ttlMs?: number | undefined }) {
    this.#deps = deps;
    this.#ttlMs = ttlMs;
  }

  /** Waits until no other build runs the step with this key. */
  lock(key: string, signal: AbortSignal): Promise<HeldLock> {
    return this.#deps.metadata.lock(`step-${key}`, { mode: 'exclusive', signal });
  }

  /** Returns the step's result if it is cached and complete, and records the use. */
  async find({ stepKey, below }: CachedStep): Promise<StepRecord | undefined> {
    const record = await this.#deps.metadata.steps.get(stepKey.key);
    if (record === undefined || (await this.#flaw(record, below)) !== undefined) return undefined;
    this.#seen.set(record.key, record);
    if (Date.now() - Date.parse(record.used) < USED_MS) return record;
    const used: StepRecord = { ...record, used: new Date().toISOString() };
    await this.#put(used);
    return used;
  }

  /** Explains why `find` finds nothing. Reads all records. */
  async explain({ stepKey, below, place }: CachedStep): Promise<Miss> {
    const same = await this.#deps.metadata.steps.get(stepKey.key);
    if (same !== undefined) return [(await this.#flaw(same, below)) ?? 'the cache was not to be used'];
    const before = (await this.#deps.metadata.steps.list())
      .filter((record) => record.place === place)
      .sort((a, b) => (a.used < b.used ? 1 : -1))
      // The most similar of several records.
      .map((record) => differentParts(stepKey.parts, record.parts))
      .sort((a, b) => a.length - b.length)[0];
    return before ?? ['it was never built'];
  }

  /** Names the work `workKey` as the result of a step and records it. */
  async add(
    { stepKey, below, place }: CachedStep,
    { workKey, size }: { readonly workKey: string; readonly size: number },
  ): Promise<StepRecord> {
    const id = randomBytes(32).toString('hex');
    const { metadata, snapshots } = this.#deps;
    const lock = await metadata.lock(`layer-${id}`, { mode: 'exclusive', signal: new AbortController().signal });
    try {
      await snapshots.commit(stepSubvolume({ id }), workKey);
      const origin = below === undefined ? undefined : await snapshots.originBelow(stepSubvolume({ id }));
      const now = new Date().toISOString();
      const record: StepRecord = {
        version: 1,
        key: stepKey.key,
        id,
        ...(below?.step === undefined ? {} : { parent: below.step }),
        place,
        parts: stepKey.parts,
        created: now,
        used: now,
        size,
        bootId: this.#deps.metadata.bootId,
        sealed: false,
        ...(origin === undefined ? {} : { origin }),
      };
      await this.#put(record);
      return record;
    } finally {
      lock.release();
    }
  }

  /** The record of a step that this build used or made. */
  recordOf({ key }: StepTree): StepRecord | undefined {
    return this.#seen.get(key);
  }

  /** Records that the step was packed. */
  async setLayer(key: string, layer: StepLayer): Promise<void> {
    const record = this.#seen.get(key);
    if (record !== undefined) await this.#put({ ...record, layer });
  }

  /** True while a power cut may lose steps of this build. */
  get hasUnsynced(): boolean {
    return [...this.#seen.values()].some(({ sealed, bootId }) => !sealed && bootId === this.#deps.metadata.bootId);
  }

  /** Call after a sync: marks this build's steps as safe on disk and records their sizes. */
  async markSynced(): Promise<void> {
    for (const record of this.#seen.values()) {
      if (record.sealed || record.bootId !== this.#deps.metadata.bootId) continue;
      const size =
        record.size > 0 ? record.size : await this.#deps.snapshots.ownBytes({ layer: stepSubvolume(record) });
      await this.#put({ ...record, size, sealed: true });
    }
  }

  async #flaw(record: StepRecord, below: StepTree | undefined): Promise<string | undefined> {
    if (record.parent !== below?.step) return 'a step before it was run again';
    if (!record.sealed && record.bootId !== this.#deps.metadata.bootId) return 'it was built just before a restart';
    if (Date.now() - Date.parse(record.created) > this.#ttlMs) return 'it is older than --cache-ttl';
    if (!(await this.#deps.snapshots.has(stepSubvolume(record)))) return 'its files are gone';
    return undefined;
  }

  async #put(record: StepRecord): Promise<void> {
    await this.#deps.metadata.steps.put(record.key, record);
    this.#seen.set(record.key, record);
  }
}

/** The files of a step. */
export function treeOf({ id, key }: StepRecord): StepTree {
  return { subvolume: stepSubvolume({ id }), key, step: id };
}

/**
 * The key of a step: the hash of its parts (names and values). Omits parts with the value undefined. `secret` parts,
 * such as an environment that may hold a password, are recorded only as digests.
 */
export function stepKey(
  parts: readonly { readonly name: string; readonly value: string | undefined; readonly secret?: boolean }[],
): StepKey {
  const given = parts.flatMap(({ name, value, secret }) => (value === undefined ? [] : [{ name, value, secret }]));
  // JSON makes the encoding of a list of parts unambiguous.
  const text = JSON.stringify([VERSION, ...given.map(({ name, value }) => [name, value])]);
  return {
    key: hash(text),
    parts: given.map(({ name, value, secret }): KeyPart => ({
      name,
      value: secret === true || value.length > LONGEST_VALUE ? `sha256:${hash(value)}` : value,
    })),
  };
}

/** Names of the parts that differ between two steps at the same place, in order. */
function differentParts(now: readonly KeyPart[], before: readonly KeyPart[]): string[] {
  const names = new Set([...now, ...before].map(({ name }) => name));
  const valuesOf = (parts: readonly KeyPart[], name: string): string =>
    JSON.stringify(parts.filter((part) => part.name === name).map(({ value }) => value));
  return [...names].filter((name) => valuesOf(now, name) !== valuesOf(before, name));
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
