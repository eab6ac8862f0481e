import { open } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import { UsageError } from '../errors.js';
import { createOutputFile, fileError } from '../util/index.js';

/** Opens a file to read. Throws UsageError when it cannot be read. */
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

/** Has `write` write into a stream, or into a file that appears when it is complete. */
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

/** Checks an argument that is a path or a stream to write to. Throws UsageError that names it. */
export function checkOutput(method: string, output: unknown): asserts output is string | Writable {
  if (typeof output === 'string' || output instanceof Writable) return;
  throw new UsageError(`${method}: the output is neither a path nor a stream to write to`);
}

/** The same for one to read from. */
export function checkSource(method: string, source: unknown): asserts source is string | Readable {
  if (typeof source === 'string' || source instanceof Readable) return;
  throw new UsageError(`${method}: the source is neither a path nor a stream to read from`);
}
