import { ImgtoolError, type ErrorOptions } from './base.js';
import { withoutLogins } from './without-logins.js';

/** The command line or an argument of the library is invalid. */
export class UsageError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_USAGE';
}

/** A reference, digest, tag or repository name is malformed; `input` is the text given. */
export class InvalidReferenceError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_INVALID_REFERENCE';
  readonly input: string;
  constructor(message: string, options: ErrorOptions & { readonly input: string }) {
    super(message, options);
    this.input = withoutLogins(options.input);
  }
}

/**
 * A Dockerfile or ignore file is invalid. The message starts with `FILE:LINE: `; `text` is that line of the file, to be
 * shown below the message. `line` and `column` count from 1.
 */
export class DockerfileError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_DOCKERFILE';
  readonly file: string;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly text: string | undefined;
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly file: string;
      readonly line?: number | undefined;
      readonly column?: number | undefined;
      readonly text?: string | undefined;
    },
  ) {
    const { file, line } = options;
    super(`${file}:${line === undefined ? '' : `${line}:`} ${message}`, options);
    this.file = file;
    this.line = line;
    this.column = options.column;
    this.text = options.text === undefined ? undefined : withoutLogins(options.text);
  }
}

/** Kinds of objects that are looked up by name. */
export type ThingKind =
  | 'image'
  | 'container'
  | 'file'
  | 'manifest'
  | 'blob'
  | 'repository'
  | 'catalog'
  | 'tag'
  | 'platform'
  | 'layer'
  | 'store';

abstract class NamedThingError extends ImgtoolError {
  readonly kind: ThingKind;
  readonly subject: string;
  constructor(message: string, options: ErrorOptions & { readonly kind: ThingKind; readonly subject: string }) {
    super(message, options);
    this.kind = options.kind;
    this.subject = options.subject;
  }
}

/** No object of that kind has that name. */
export class NotFoundError extends NamedThingError {
  readonly code = 'ERR_IMGTOOL_NOT_FOUND';
}

/** An object of that kind already has that name, or is in use. */
export class AlreadyExistsError extends NamedThingError {
  readonly code = 'ERR_IMGTOOL_ALREADY_EXISTS';
}
