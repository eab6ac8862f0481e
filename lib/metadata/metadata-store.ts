import { join } from 'node:path';
import { digestHex } from '../spec/index.js';
import { acquireLock, tryAcquireLock } from './lock-file.js';
import {
  cacheRecordError,
  containerRecordError,
  layerRecordError,
  stepRecordError,
  uploadRecordError,
} from './check-record.js';
import { openImageRecords } from './image-records.js';
import { openRecordSet } from './record-set.js';
import { keepRoom, makeRoom } from './room.js';
import type { CacheRecord, ContainerRecord, LayerRecord, MetadataStore, StepRecord, UploadRecord } from './types.js';

/** How long a lock is waited for in silence. Milliseconds. */
const SILENT_MS = 1000;

/** Options of `createMetadataStore`. */
export interface MetadataStoreOptions {
  readonly root: string;
  /**
   * The boot this machine is in; without it no layer counts as cut by a power loss before the operations that write have
   * dropped it.
   */
  readonly bootId?: string;
  /** Told the path of a lock that is waited for and whose caller has no `onWait`. */
  readonly onWait?: ((path: string) => void) | undefined;
}

/** The records and locks under `root`, whose directories must exist. Opens nothing until it is used. */
export function createMetadataStore({ root, bootId, onWait }: MetadataStoreOptions): MetadataStore {
  const locks = join(root, 'locks');
  return {
    images: openImageRecords(join(root, 'images')),
    layers: openRecordSet<LayerRecord>(join(root, 'layers'), {
      keysOf: (record) => [digestHex(record.chainId)],
      errorOf: layerRecordError,
      mend: withBootId,
    }),
    containers: openRecordSet<ContainerRecord>(join(root, 'containers'), {
      keysOf: (record) => [record.id],
      errorOf: containerRecordError,
    }),
    uploads: openRecordSet<UploadRecord>(join(root, 'uploads'), {
      keysOf: (record) => [record.key],
      errorOf: uploadRecordError,
    }),
    steps: openRecordSet<StepRecord>(join(root, 'steps'), {
      keysOf: (record) => [record.key],
      errorOf: stepRecordError,
      mayBeMissing: true,
    }),
    caches: openRecordSet<CacheRecord>(join(root, 'caches'), {
      keysOf: (record) => [record.key],
      errorOf: cacheRecordError,
      mayBeMissing: true,
    }),
    mayBeCut: (layer) => bootId !== undefined && !layer.sealed && layer.bootId !== bootId,
    lock: async (name, lockOptions) => {
      const tell = lockOptions.onWait === undefined ? onWait : undefined;
      const timer = setTimeout(() => tell?.(join(locks, name)), SILENT_MS);
      try {
        return await acquireLock(locks, name, lockOptions);
      } finally {
        clearTimeout(timer);
      }
    },
    tryLock: (name, mode) => tryAcquireLock(locks, name, mode),
    keepRoom: () => keepRoom(root),
    makeRoom: () => makeRoom(root),
  };
}

/** Programs that did not await the boot ID left records without one: such a layer counts as written in another boot. */
function withBootId(record: LayerRecord): LayerRecord {
  return typeof record.bootId === 'string' ? record : { ...record, bootId: '' };
}
