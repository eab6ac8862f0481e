import { ImgtoolError, type ErrorOptions } from './base.js';

/** Bytes do not have the digest they were asked for by. */
export class DigestMismatchError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_DIGEST_MISMATCH';
  readonly expected: string;
  readonly actual: string;
  constructor(message: string, options: ErrorOptions & { readonly expected: string; readonly actual: string }) {
    super(message, options);
    this.expected = options.expected;
    this.actual = options.actual;
  }
}

/** There are more or fewer bytes than the descriptor says. */
export class SizeMismatchError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SIZE_MISMATCH';
  /** Bytes. */
  readonly expected: number;
  /** Bytes. */
  readonly actual: number;
  constructor(message: string, options: ErrorOptions & { readonly expected: number; readonly actual: number }) {
    super(message, options);
    this.expected = options.expected;
    this.actual = options.actual;
  }
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

/** A layer is not a readable tar stream, or holds an entry that has no meaning. `entry`: its path, escaped. */
export class LayerFormatError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_LAYER_FORMAT';
  readonly entry: string | undefined;
  constructor(message: string, options: ErrorOptions & { readonly entry?: string | undefined } = {}) {
    super(message, options);
    this.entry = options.entry;
  }
}

/** An image archive (OCI layout, docker-archive, v1) is damaged, incomplete or means two things. `entry`: the member, as named. */
export class ArchiveFormatError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_ARCHIVE_FORMAT';
  readonly entry: string | undefined;
  constructor(message: string, options: ErrorOptions & { readonly entry?: string | undefined } = {}) {
    super(message, options);
    this.entry = options.entry;
  }
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
