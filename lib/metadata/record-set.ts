import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidReferenceError, StoreError } from '../errors.js';
import { syncDirectory, TEMPORARY_PREFIX, writeFileAtomic } from '../util/index.js';
import type { RecordSet } from './types.js';

/** Writing a record takes milliseconds: a temporary file this old has no writer any more. */
const STALE_MS = 10 * 60 * 1000;
const KEY = /^(?:[0-9a-f]{64}|[0-9a-f]{128})$/;
const FILE = /^((?:[0-9a-f]{64}|[0-9a-f]{128}))\.json$/;

/** The records in `directory`; `keyOf` tells under which key a record belongs, so that a misplaced one is noticed. */
export function openRecordSet<T extends { readonly version: 1 }>(
  directory: string,
  keyOf: (record: T) => string,
): RecordSet<T> {
  const pathOf = (key: string): string => {
    if (!KEY.test(key))
      throw new InvalidReferenceError(`${JSON.stringify(key.slice(0, 200))} is not the key of a record`, {
        input: key,
      });
    return join(directory, `${key}.json`);
  };
  const read = async (key: string): Promise<T | undefined> => {
    const path = pathOf(key);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw unreadable(path, error);
    }
    return parseRecord(text, { path, key, keyOf });
  };
  return {
    get: read,
    async put(key, record) {
      const path = pathOf(key);
      if (keyOf(record) !== key) throw new TypeError(`the record of ${keyOf(record)} cannot be stored as ${key}`);
      await writeFileAtomic(path, `${JSON.stringify(record, undefined, 2)}\n`);
    },
    async delete(key) {
      await rm(pathOf(key), { force: true });
      await syncDirectory(directory);
    },
    async list() {
      let names: string[];
      try {
        names = await readdir(directory);
      } catch (error) {
        throw unreadable(directory, error);
      }
      const keys = names.map((name) => FILE.exec(name)?.[1]).filter((key) => key !== undefined);
      // A record may be deleted between the listing and the reading.
      const records = await Promise.all(keys.sort().map(read));
      return records.filter((record) => record !== undefined);
    },
    async sweep() {
      for (const name of await readdir(directory)) {
        if (!name.startsWith(TEMPORARY_PREFIX)) continue;
        const path = join(directory, name);
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
        if (Date.now() - mtimeMs > STALE_MS) await rm(path, { force: true });
      }
    },
  };
}

function parseRecord<T extends { readonly version: 1 }>(
  text: string,
  where: { readonly path: string; readonly key: string; readonly keyOf: (record: T) => string },
): T {
  let record: Partial<T> | null;
  try {
    record = JSON.parse(text) as Partial<T> | null;
  } catch (error) {
    throw broken(where.path, 'it is no JSON', error);
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    throw broken(where.path, 'it is no object');
  if (record.version !== 1) throw broken(where.path, `version ${JSON.stringify(record.version)} is unknown`);
  let key: unknown;
  try {
    key = where.keyOf(record as T);
  } catch (error) {
    throw broken(where.path, 'its name is missing', error);
  }
  if (key !== where.key) throw broken(where.path, 'it belongs to something else');
  return record as T;
}

function broken(path: string, why: string, cause?: unknown): StoreError {
  return new StoreError(`the record ${path} cannot be used: ${why}`, {
    path,
    cause,
    hint: 'remove that file; pulling the image again writes it anew',
  });
}

function unreadable(path: string, cause: unknown): StoreError {
  const code = (cause as NodeJS.ErrnoException).code;
  return new StoreError(`${path} cannot be read: ${code ?? String(cause)}`, {
    path,
    cause,
    hint: code === 'EACCES' || code === 'EPERM' ? 'the store belongs to root: run this as root' : undefined,
  });
}
