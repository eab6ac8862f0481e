import type { FileHandle } from 'node:fs/promises';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { openTemporary } from '../util/index.js';

/**
 * Copies a stream into an unnamed file, which disappears when it is closed or the process dies. `onCopy` receives a
 * branch of the stream meanwhile. Throws UsageError (no such directory), errors of the disk, AbortError.
 */
export async function spool<T>(
  source: Readable,
  directory: string,
  { signal, onCopy }: { readonly signal: AbortSignal; readonly onCopy: (branch: Readable) => Promise<T> },
): Promise<{ readonly file: FileHandle; readonly result: T }> {
  const file = await openTemporary(directory);
  try {
    const copy = new Transform({
      readableHighWaterMark: 1024 * 1024,
      transform(chunk: Buffer, _encoding, done) {
        // A single write may be incomplete.
        file.writeFile(chunk).then(() => done(null, chunk), done);
      },
    });
    const [result] = await Promise.all([onCopy(copy), pipeline(source, copy, { signal, end: true })]);
    return { file, result };
  } catch (error) {
    await file.close();
    throw error;
  }
}
