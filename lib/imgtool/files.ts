import { open } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import { createOutputFile, fileError } from '../util/index.js';

/** Opens a file for reading. Throws UsageError when it cannot be read. */
export async function openFile(path: string): Promise<Readable> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw new UsageError(`${path} is a directory`, { hint: 'give a tar' });
    }
    return file.createReadStream();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw fileError(path, 'read', error);
  }
}

/** Lets `write` write to a stream, or to a file that appears when it is complete. */
export async function writeTo<T>(output: string | Writable, write: (stream: Writable) => Promise<T>): Promise<T> {
  if (typeof output !== 'string') return write(output);
  const file = await createOutputFile(output);
  try {
    const result = await write(file.stream);
    await file.keep();
    return result;
  } finally {
    await file.discard();
  }
}

/** Checks that an argument is a path or a writable stream. Throws UsageError that names it. */
export function checkOutput(method: string, output: unknown): asserts output is string | Writable {
  if (typeof output === 'string' || output instanceof Writable) return;
  throw new UsageError(`${method}: the output is neither a path nor a stream to write to`);
}

/** Checks that an argument is a path or a readable stream. Throws UsageError that names it. */
export function checkSource(method: string, source: unknown): asserts source is string | Readable {
  if (typeof source === 'string' || source instanceof Readable) return;
  throw new UsageError(`${method}: the source is neither a path nor a stream to read from`);
}
