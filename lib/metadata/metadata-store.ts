import { join } from 'node:path';
import { digestHex } from '../spec/index.js';
import { acquireLock, tryAcquireLock } from './lock-file.js';
import { openRecordSet } from './record-set.js';
import type { ContainerRecord, ImageRecord, LayerRecord, MetadataStore, UploadRecord } from './types.js';

/** How long a lock is waited for in silence. Milliseconds. */
const SILENT_MS = 1000;

/** Options of `createMetadataStore`. */
export interface MetadataStoreOptions {
  readonly root: string;
  /** Told the path of a lock that is waited for and whose caller has no `onWait`. */
  readonly onWait?: ((path: string) => void) | undefined;
}

/** The records and locks under `root`, whose directories must exist. Opens nothing until it is used. */
export function createMetadataStore({ root, onWait }: MetadataStoreOptions): MetadataStore {
  const locks = join(root, 'locks');
  return {
    images: openRecordSet<ImageRecord>(join(root, 'images'), (record) => digestHex(record.id)),
    layers: openRecordSet<LayerRecord>(join(root, 'layers'), (record) => digestHex(record.chainId)),
    containers: openRecordSet<ContainerRecord>(join(root, 'containers'), (record) => record.id),
    uploads: openRecordSet<UploadRecord>(join(root, 'uploads'), (record) => record.key),
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
  };
}
