import { join } from 'node:path';
import { digestHex } from '../spec/index.js';
import { acquireLock, tryAcquireLock } from './lock-file.js';
import { currentBootId } from './boot-id.js';
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

/** A wait for a lock of more than this many ms is reported. */
const SILENT_MS = 1000;

interface MetadataStoreOptions {
  readonly root: string;
  /** The boot in which this process runs. Default: the current boot. */
  readonly bootId?: string | undefined;
  /** Receives the path of a lock being waited for, when the caller has no `onWait`. */
  readonly onWait?: ((path: string) => void) | undefined;
}

/** Creates a store for the records and locks under `root`, whose directories must exist. Opens nothing before its first use. */
export function createMetadataStore({ root, onWait, ...options }: MetadataStoreOptions): MetadataStore {
  let bootId = options.bootId;
  const thisBoot = (): string => (bootId ??= currentBootId());
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
    get bootId() {
      return thisBoot();
    },
    mayBeCut: (layer) => !layer.sealed && layer.bootId !== thisBoot(),
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

/** Programs that did not await the boot ID wrote records without one. Such a layer counts as written in another boot. */
function withBootId(record: LayerRecord): LayerRecord {
  return typeof record.bootId === 'string' ? record : { ...record, bootId: '' };
}
