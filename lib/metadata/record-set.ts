import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidReferenceError, StoreError } from '../errors.js';
import { makeDirectory, syncDirectory, TEMPORARY_PREFIX, writeFileAtomic } from '../util/index.js';
import type { RecordSet } from './types.js';

/** Age in ms at which a temporary file has no writer any more: writing a record takes a few ms. */
const STALE_MS = 10 * 60 * 1000;
const KEY = /^(?:[0-9a-f]{64}|[0-9a-f]{128})$/;
const FILE = /^((?:[0-9a-f]{64}|[0-9a-f]{128}))\.json$/;

/** The properties of one kind of record. */
interface RecordKind<T> {
  /** The valid keys of a record, to detect a misplaced one. */
  readonly keysOf: (record: T) => readonly string[];
  /** Returns what is wrong with a record, or undefined. */
  readonly errorOf: (record: T) => string | undefined;
  /** Corrects a record written by an earlier version. */
  readonly mend?: (record: T) => T;
  /** Stores of earlier versions lack the directory; it then counts as empty. */
  readonly mayBeMissing?: boolean;
}

/** The records in `directory`, validated when written and when read. */
export function openRecordSet<T extends { readonly version: 1 }>(directory: string, kind: RecordKind<T>): RecordSet<T> {
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
      throw unreadableError(path, error);
    }
    return parseRecord(text, { path, key, kind });
  };
  const isMissing = (error: unknown): boolean =>
    kind.mayBeMissing === true && (error as NodeJS.ErrnoException).code === 'ENOENT';
  return {
    get: read,
    async put(key, record) {
      const path = pathOf(key);
      const wrong = kind.errorOf(record);
      if (wrong !== undefined) throw new TypeError(`a record cannot be written: its ${wrong}`);
      if (!kind.keysOf(record).includes(key))
        throw new TypeError(`a record cannot be stored as ${key}: it has another key`);
      if (kind.mayBeMissing === true) makeDirectory(directory);
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
        if (isMissing(error)) return [];
        throw unreadableError(directory, error);
      }
      const keys = names.map((name) => FILE.exec(name)?.[1]).filter((key) => key !== undefined);
      // A record may be deleted between listing and reading.
      const records = await Promise.all(keys.sort().map(read));
      return records.filter((record) => record !== undefined);
    },
    async sweep() {
      const names = await readdir(directory).catch((error: unknown) => {
        if (isMissing(error)) return [];
        throw error;
      });
      for (const name of names) {
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
  { path, key, kind }: { readonly path: string; readonly key: string; readonly kind: RecordKind<T> },
): T {
  let record: Partial<T> | null;
  try {
    record = JSON.parse(text) as Partial<T> | null;
  } catch (error) {
    throw brokenRecordError(path, 'it is not JSON', error);
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    throw brokenRecordError(path, 'it is not an object');
  if (record.version !== 1) throw brokenRecordError(path, `version ${JSON.stringify(record.version)} is unknown`);
  const whole = kind.mend?.(record as T) ?? (record as T);
  const wrong = kind.errorOf(whole);
  if (wrong !== undefined) throw brokenRecordError(path, `its ${wrong}`);
  if (!kind.keysOf(whole).includes(key)) throw brokenRecordError(path, 'it has the wrong file name');
  return whole;
}

function brokenRecordError(path: string, why: string, cause?: unknown): StoreError {
  return new StoreError(`the record ${path} cannot be used: ${why}`, {
    path,
    cause,
    hint: 'remove that file; pulling the image again writes a new one',
  });
}

function unreadableError(path: string, cause: unknown): StoreError {
  const code = (cause as NodeJS.ErrnoException).code;
  return new StoreError(`${path} cannot be read: ${code ?? String(cause)}`, {
    path,
    cause,
    hint: code === 'EACCES' || code === 'EPERM' ? 'the store belongs to root: run this as root' : undefined,
  });
}
