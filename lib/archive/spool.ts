import { randomBytes } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Copies a stream into an unnamed file, which disappears when it is closed or the process dies. `onCopy` receives a
 * branch of the stream meanwhile. Throws errors of the disk, AbortError.
 */
export async function spool<T>(
  source: Readable,
  directory: string,
  { signal, onCopy }: { readonly signal: AbortSignal; readonly onCopy: (branch: Readable) => Promise<T> },
): Promise<{ readonly file: FileHandle; readonly result: T }> {
  const path = join(directory, `imgtool-${randomBytes(12).toString('hex')}`);
  const file = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
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
