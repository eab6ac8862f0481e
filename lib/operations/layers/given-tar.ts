import { LayerFormatError, UnsupportedMediaTypeError } from '../../errors.js';
import { gzipUnsupported } from '../../util/index.js';

/**
 * Gives the bytes of a user's tar to `take`, with xz and bzip2 converted to gzip. `name`: for messages. Throws LayerFormatError
 * for an empty tar, CommandError (the program is missing), and what the source and `take` throw.
 */
export async function takeGivenTar<T>(
  source: AsyncIterable<Buffer>,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
  take: (bytes: AsyncIterable<Buffer>) => Promise<T>,
): Promise<T> {
  let received = 0;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      received += chunk.length;
      yield chunk;
    }
  };
  const { bytes, close } = await gzipUnsupported(counted(), signal);
  try {
    if (received === 0) throw new LayerFormatError(`${name} is empty`, { hint: 'give a tar of files' });
    return await take(bytes);
  } finally {
    await close();
  }
}

/** The error for users when `error` says that a tar that they gave has an unknown format; else `error` itself. */
export function givenTarError(error: unknown, name: string): unknown {
  if (!(error instanceof UnsupportedMediaTypeError)) return error;
  return new UnsupportedMediaTypeError(`${name} is no tar, or compressed in a way that layers do not use`, {
    mediaType: error.mediaType,
    hint: 'give a tar, plain or compressed with gzip, zstd, xz or bzip2',
    cause: error,
  });
}
