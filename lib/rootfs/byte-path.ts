/**
 * A path or name as a string with one char per byte (latin1). File names are bytes; in this form they are cheap to join
 * and to use as map keys, and `<` compares bytes. Never displayed.
 */
export type ByteString = string;

export function toByteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function fromByteString(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1');
}

/** The components of a path, without empty ones and `.`. */
export function pathComponents(path: ByteString): ByteString[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
