/**
 * A path or name as a string with one char per byte (latin1). File names are bytes; in this form they are cheap to join
 * and to use as keys, and comparing them with `<` compares bytes. Never shown to anybody.
 */
export type ByteString = string;

export function toByteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function fromByteString(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1');
}

/** The components of a path; empty ones and `.` are left out. */
export function pathComponents(path: ByteString): ByteString[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
