import { join } from 'node:path';
import { digestHex } from '../spec/index.js';
import { acquireLock, tryAcquireLock } from './lock-file.js';
import { containerRecordError, layerRecordError, uploadRecordError } from './check-record.js';
import { openImageRecords } from './image-records.js';
import { openRecordSet } from './record-set.js';
import type { ContainerRecord, LayerRecord, MetadataStore, UploadRecord } from './types.js';

/**
 * The records and locks under `root`, whose directories must exist. Opens nothing until it is used. `bootId`: the boot this
 * machine is in; without it no layer counts as cut by a power loss before the operations that write have dropped it.
 */
export function createMetadataStore(options: { readonly root: string; readonly bootId?: string }): MetadataStore {
  const { root, bootId } = options;
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
    mayBeCut: (layer) => bootId !== undefined && !layer.sealed && layer.bootId !== bootId,
    lock: (name, lockOptions) => acquireLock(locks, name, lockOptions),
    tryLock: (name, mode) => tryAcquireLock(locks, name, mode),
  };
}

/** Programs that did not await the boot ID left records without one: such a layer counts as written in another boot. */
function withBootId(record: LayerRecord): LayerRecord {
  return typeof record.bootId === 'string' ? record : { ...record, bootId: '' };
}
