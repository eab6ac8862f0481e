/**
 * Every error a caller of imgtool can meet. `message` states the facts in one line, `hint` says what to do next,
 * `code` is stable and mapped to an exit code in `cli/exit-codes.ts`. Secrets never enter a message: URLs are redacted
 * before they get here (`http/redact.ts`). Cancellation is the platform's `AbortError` and is never wrapped.
 */

/** What every error may carry besides its message. */
export interface ErrorOptions {
  /** The next action for the user, one line. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** What follows the @ of a digest. */
const DIGEST_START = /(?:sha-?\d+|md5|blake\d\w*)(?:[-:"']|$)/y;

/** The text with `***@` in place of each login (`user:password@`) in a reference or URL. */
export function withoutLogins(text: string): string {
  return text.includes('@') ? text.replace(/\S+/g, withoutLogin) : text;
}

/** Looks at each character a few times at most: messages may hold what a server sent. */
function withoutLogin(word: string): string {
  let at = word.lastIndexOf('@');
  for (; at > 0; at = word.lastIndexOf('@', at - 1)) {
    DIGEST_START.lastIndex = at + 1;
    if (!DIGEST_START.test(word)) break;
  }
  const colon = /[^"'/@]:/.exec(word.slice(0, Math.max(0, at - 1)))?.index;
  if (colon === undefined) return word;
  const start = /[^"'/@]*$/.exec(word.slice(Math.max(0, colon - 100), colon))![0].length;
  return `${word.slice(0, colon - start)}***${word.slice(at)}`;
}

/** Base of all errors that imgtool raises on purpose; anything else that surfaces is a bug. */
export abstract class ImgtoolError extends Error {
  abstract readonly code: string;
  readonly hint: string | undefined;

  constructor(message: string, options: ErrorOptions = {}) {
    super(withoutLogins(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** The command line or an argument of the library makes no sense. */
export class UsageError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_USAGE';
}

/** A reference, digest, tag or repository name is malformed; `input` is what was given. */
export class InvalidReferenceError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_INVALID_REFERENCE';
  readonly input: string;
  constructor(message: string, options: ErrorOptions & { readonly input: string }) {
    super(message, options);
    this.input = withoutLogins(options.input);
  }
}

/**
 * A Dockerfile or an ignore file makes no sense. The message starts with `FILE:LINE: `; `text` is that line of the file, for
 * showing below the message. `line` and `column` count from 1.
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

/** The kinds of things that are looked up by name. */
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

/** Nothing of that kind has that name. */
export class NotFoundError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_NOT_FOUND';
  readonly kind: ThingKind;
  readonly subject: string;
  constructor(message: string, options: ErrorOptions & { readonly kind: ThingKind; readonly subject: string }) {
    super(message, options);
    this.kind = options.kind;
    this.subject = options.subject;
  }
}

/** Something of that kind has that name already, or is in use. */
export class AlreadyExistsError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_ALREADY_EXISTS';
  readonly kind: ThingKind;
  readonly subject: string;
  constructor(message: string, options: ErrorOptions & { readonly kind: ThingKind; readonly subject: string }) {
    super(message, options);
    this.kind = options.kind;
    this.subject = options.subject;
  }
}

/** A registry refused who we are or what we may do; holds where credentials came from, never their value. */
export class AuthenticationError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_AUTHENTICATION';
  readonly host: string;
  readonly scheme: string | undefined;
  readonly credentialSource: string | undefined;
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly host: string;
      readonly scheme?: string | undefined;
      readonly credentialSource?: string | undefined;
    },
  ) {
    super(message, options);
    this.host = options.host;
    this.scheme = options.scheme;
    this.credentialSource = options.credentialSource;
  }
}

/** One entry of the `errors` array of distribution-spec "Error Codes". */
export interface RegistryDiagnostic {
  readonly code: string;
  readonly message: string;
}

/** A registry answered with an unexpected status, after retries; `url` is redacted. */
export class RegistryError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_REGISTRY';
  readonly status: number;
  readonly method: string;
  readonly url: string;
  readonly diagnostics: readonly RegistryDiagnostic[];
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly status: number;
      readonly method: string;
      readonly url: string;
      readonly diagnostics?: readonly RegistryDiagnostic[];
    },
  ) {
    super(message, options);
    this.status = options.status;
    this.method = options.method;
    this.url = options.url;
    this.diagnostics = options.diagnostics ?? [];
  }
}

/** The phase of a request that failed. */
export type TransportPhase = 'lookup' | 'connect' | 'tls' | 'request' | 'response' | 'body';

/** The network failed, after retries. */
export class TransportError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_TRANSPORT';
  readonly host: string;
  readonly phase: TransportPhase;
  constructor(message: string, options: ErrorOptions & { readonly host: string; readonly phase: TransportPhase }) {
    super(message, options);
    this.host = options.host;
    this.phase = options.phase;
  }
}

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

/** A system call failed; `errno` is its name (`ENOENT`). */
export class SyscallError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SYSCALL';
  readonly errno: string;
  readonly syscall: string;
  readonly path: string | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { readonly errno: string; readonly syscall: string; readonly path?: string | undefined },
  ) {
    super(message, options);
    this.errno = options.errno;
    this.syscall = options.syscall;
    this.path = options.path;
  }
}

/** The local store or its btrfs cannot serve: missing rights, no btrfs, no loop device, unknown version. */
export class StoreError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_STORE';
  readonly path: string;
  constructor(message: string, options: ErrorOptions & { readonly path: string }) {
    super(message, options);
    this.path = options.path;
  }
}

/** A btrfs subvolume could not be made, snapshotted or removed. */
export class SubvolumeError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SUBVOLUME';
  readonly path: string;
  constructor(message: string, options: ErrorOptions & { readonly path: string }) {
    super(message, options);
    this.path = options.path;
  }
}

/** A program that imgtool needs is missing or failed; `stderr` is the tail of what it printed. */
export class CommandError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_COMMAND';
  readonly argv: readonly string[];
  readonly exitCode: number | undefined;
  readonly stderr: string;
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly argv: readonly string[];
      readonly exitCode?: number | undefined;
      readonly stderr?: string;
    },
  ) {
    super(message, options);
    this.argv = options.argv;
    this.exitCode = options.exitCode;
    this.stderr = options.stderr ?? '';
  }
}

/** A container's command could not be started; `exitCode` as docker has it: 127 not there, 126 not executable, else 125. */
export class ContainerStartError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_CONTAINER_START';
  readonly exitCode: number;
  constructor(message: string, options: ErrorOptions & { readonly exitCode?: 125 | 126 | 127 } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 125;
  }
}

/**
 * A RUN of a Dockerfile failed. The message starts with `FILE:LINE: `; `text` is that line, `status` what the command exited
 * with, `output` the last lines that it wrote.
 */
export class BuildStepError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_BUILD_STEP';
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly status: number;
  readonly output: readonly string[];
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly file: string;
      readonly line: number;
      readonly text: string;
      readonly status: number;
      readonly output: readonly string[];
    },
  ) {
    super(`${options.file}:${options.line}: ${message}`, options);
    this.file = options.file;
    this.line = options.line;
    this.text = withoutLogins(options.text);
    this.status = options.status;
    this.output = options.output;
  }
}

/** There is not enough room; all figures in bytes. */
export class DiskSpaceError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_DISK_SPACE';
  readonly needed: number | undefined;
  readonly available: number | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { readonly needed?: number | undefined; readonly available?: number | undefined } = {},
  ) {
    super(message, options);
    this.needed = options.needed;
    this.available = options.available;
  }
}

/** Some of what was asked for is done, the rest failed; `failures`: one line for each. */
export class PartialError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_PARTIAL';
  readonly failures: readonly string[];
  constructor(message: string, options: ErrorOptions & { readonly failures: readonly string[] }) {
    super(message, options);
    this.failures = options.failures;
  }
}

/** Errors of Linux that libuv has no name for: node calls them `Unknown system error -122`. */
const NAMELESS: ReadonlyMap<number, string> = new Map([
  [-116, 'ESTALE'],
  [-117, 'EUCLEAN'],
  [-121, 'EREMOTEIO'],
  [-122, 'EDQUOT'],
]);

/** The name (`ENOSPC`) of the system error that `error` is, node's errors included; undefined when it is none. */
export function systemErrorName(error: unknown): string | undefined {
  if (error instanceof SyscallError) return error.errno;
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  return (errno === undefined ? undefined : NAMELESS.get(errno)) ?? code;
}

/** Whether `error` is a system error that says that a disk is full or a quota reached. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(systemErrorName(error) ?? '');
}

/** The first of `error` and its causes that satisfies `test`. */
export function findCause(error: unknown, test: (cause: Error) => boolean): Error | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 10; current = current.cause, depth += 1) {
    if (test(current)) return current;
  }
  return undefined;
}
