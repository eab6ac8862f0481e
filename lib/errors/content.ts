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

/** Bytes do not have the digest they were asked for by. */
export class DigestMismatchError extends MismatchError<string> {
  readonly code = 'ERR_IMGTOOL_DIGEST_MISMATCH';
}

/** There are more or fewer bytes than the descriptor says. `expected`, `actual`: bytes. */
export class SizeMismatchError extends MismatchError<number> {
  readonly code = 'ERR_IMGTOOL_SIZE_MISMATCH';
}

/** A document or blob is of a kind imgtool does not know. */
export class UnsupportedMediaTypeError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_UNSUPPORTED_MEDIA_TYPE';
  readonly mediaType: string;
  constructor(message: string, options: ErrorOptions & { readonly mediaType: string }) {
    super(message, options);
    this.mediaType = options.mediaType;
  }
}

/** A manifest, index or config breaks its specification; `where` is the JSON path or the digest. */
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

/** A layer is not a readable tar stream, or holds an entry that has no meaning. `entry`: its path, escaped. */
export class LayerFormatError extends EntryError {
  readonly code = 'ERR_IMGTOOL_LAYER_FORMAT';
}

/** An image archive (OCI layout, docker-archive, v1) is damaged, incomplete or means two things. `entry`: the member, as named. */
export class ArchiveFormatError extends EntryError {
  readonly code = 'ERR_IMGTOOL_ARCHIVE_FORMAT';
}

/** A layer entry would touch something outside its root. */
export class PathEscapeError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_PATH_ESCAPE';
  readonly entry: string;
  constructor(message: string, options: ErrorOptions & { readonly entry: string }) {
    super(message, options);
    this.entry = options.entry;
  }
}
