import { digestHex, formKey, isSameForm, type Digest, type ImageForm } from '../spec/index.js';
import { imageRecordError } from './check-record.js';
import { openRecordSet } from './record-set.js';
import type { ImageRecord, ImageRecords } from './types.js';

/**
 * The image records in `directory`. The first record of an image has the image's ID as key, as in older stores, where
 * an image had only one; further records have a key of ID, manifest and index.
 */
export function openImageRecords(directory: string): ImageRecords {
  const set = openRecordSet<ImageRecord>(directory, { keysOf, errorOf: imageRecordError });
  /** The key of the file with this form, or the key for a new one. */
  const place = async (record: ImageForm): Promise<{ readonly key: string; readonly isThere: boolean }> => {
    const [first, form] = keysOf(record);
    const known = await set.get(first);
    if (known !== undefined && isSameForm(known, record)) return { key: first, isThere: true };
    if ((await set.get(form)) !== undefined) return { key: form, isThere: true };
    return { key: known === undefined ? first : form, isThere: false };
  };
  return {
    list: () => set.list(),
    sweep: () => set.sweep(),
    async ofImage(id: Digest) {
      const first = await set.get(digestHex(id));
      const all = (await set.list()).filter((record) => record.id === id);
      return first === undefined ? all : [first, ...all.filter((record) => !isSameForm(record, first))];
    },
    async find(record) {
      const { key, isThere } = await place(record);
      return isThere ? set.get(key) : undefined;
    },
    async put(record) {
      await set.put((await place(record)).key, record);
    },
    async delete(record) {
      const { key, isThere } = await place(record);
      if (isThere) await set.delete(key);
    },
  };
}

function keysOf(record: ImageForm): readonly [first: string, further: string] {
  return [digestHex(record.id), formKey(record)];
}
