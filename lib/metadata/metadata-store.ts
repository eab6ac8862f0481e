import { join } from 'node:path';
import { digestHex } from '../spec/index.js';
import { acquireLock, tryAcquireLock } from './lock-file.js';
import { openRecordSet } from './record-set.js';
import { keepRoom, makeRoom } from './room.js';
import type { ContainerRecord, ImageRecord, LayerRecord, MetadataStore, UploadRecord } from './types.js';

/** The records and locks under `root`, whose directories must exist. Opens nothing until it is used. */
export function createMetadataStore(options: { readonly root: string }): MetadataStore {
  const { root } = options;
  const locks = join(root, 'locks');
  return {
    images: openRecordSet<ImageRecord>(join(root, 'images'), (record) => digestHex(record.id)),
    layers: openRecordSet<LayerRecord>(join(root, 'layers'), (record) => digestHex(record.chainId)),
    containers: openRecordSet<ContainerRecord>(join(root, 'containers'), (record) => record.id),
    uploads: openRecordSet<UploadRecord>(join(root, 'uploads'), (record) => record.key),
    lock: (name, lockOptions) => acquireLock(locks, name, lockOptions),
    tryLock: (name, mode) => tryAcquireLock(locks, name, mode),
    keepRoom: () => keepRoom(root),
    makeRoom: () => makeRoom(root),
  };
}
