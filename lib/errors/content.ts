import { ImgtoolError, type ErrorOptions } from './base.js';

abstract class MismatchError<Value> extends ImgtoolError {
  readonly expected: Value;
  readonly actual: Value;
  constructor(message: string, options: ErrorOptions & { readonly expected: Value; readonly actual: Value }) {
    super(message, options);
    this.expected = options.expected;
    this.actual = options.actual;
  }
}

/** The content does not match the requested digest. */
export class DigestMismatchError extends MismatchError<string> {
  readonly code = 'ERR_IMGTOOL_DIGEST_MISMATCH';
}

/** The content is longer or shorter than its descriptor states. `expected` and `actual` in bytes. */
export class SizeMismatchError extends MismatchError<number> {
  readonly code = 'ERR_IMGTOOL_SIZE_MISMATCH';
}

/** The media type of a document or blob is not supported. */
export class UnsupportedMediaTypeError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_UNSUPPORTED_MEDIA_TYPE';
  readonly mediaType: string;
  constructor(message: string, options: ErrorOptions & { readonly mediaType: string }) {
    super(message, options);
    this.mediaType = options.mediaType;
  }
}

/** A manifest, index or config violates its specification; `where` is the JSON path or the digest. */
export class InvalidManifestError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_INVALID_MANIFEST';
  readonly where: string;
  constructor(message: string, options: ErrorOptions & { readonly where: string }) {
    super(message, options);
    this.where = options.where;
  }
}

abstract class EntryError extends ImgtoolError {
  readonly entry: string | undefined;
  constructor(message: string, options: ErrorOptions & { readonly entry?: string | undefined } = {}) {
    super(message, options);
    this.entry = options.entry;
  }
}

/** A layer is not a readable tar stream, or has an invalid entry. `entry`: its path, escaped. */
export class LayerFormatError extends EntryError {
  readonly code = 'ERR_IMGTOOL_LAYER_FORMAT';
}

/** An image archive (OCI layout, docker-archive, v1) is damaged, incomplete or ambiguous. `entry`: the member, as named. */
export class ArchiveFormatError extends EntryError {
  readonly code = 'ERR_IMGTOOL_ARCHIVE_FORMAT';
}

/** A layer entry would affect a path outside its root. */
export class PathEscapeError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_PATH_ESCAPE';
  readonly entry: string;
  constructor(message: string, options: ErrorOptions & { readonly entry: string }) {
    super(message, options);
    this.entry = options.entry;
  }
}
