import { ContainerStartError, findCause, ImgtoolError, isDiskFull, PartialError } from '../errors.js';

/** The process's exit codes (docs/cli.md); never renumbered. */
export const EXIT = {
  success: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  authentication: 4,
  network: 5,
  content: 6,
  store: 7,
  space: 8,
  interrupted: 9,
  partial: 10,
  notStarted: 125,
  /** 128 + SIGPIPE: what a shell says of programs that such a signal ends. */
  readerGone: 141,
} as const;

/** What each exit code means, for help and docs. */
export const EXIT_MEANING: ReadonlyMap<number, string> = new Map([
  [EXIT.success, 'success'],
  [EXIT.failure, 'failure with no class of its own'],
  [EXIT.usage, 'usage, or a bad reference'],
  [EXIT.notFound, 'not found, or exists already'],
  [EXIT.authentication, 'authentication or authorisation'],
  [EXIT.network, 'registry or network, after retries'],
  [EXIT.content, 'content wrong: digest, manifest, layer, hostile entry'],
  [EXIT.store, 'local store, btrfs or a needed program'],
  [EXIT.space, 'disk space or quota'],
  [EXIT.interrupted, 'interrupted (SIGINT, SIGTERM); partial work is kept and resumable'],
  [EXIT.partial, 'partial success; the report says which part'],
  [EXIT.notStarted, '`run`: the command could not be started; 126: it is not executable, 127: it is not there'],
  [EXIT.readerGone, 'nobody read the output to its end (`| head`), as with other programs in a pipe; nothing is said'],
]);

/** Error code → exit code: the only such table. */
export const EXIT_OF_ERROR: Readonly<Record<string, number>> = {
  ERR_IMGTOOL_USAGE: EXIT.usage,
  ERR_IMGTOOL_INVALID_REFERENCE: EXIT.usage,
  ERR_IMGTOOL_NOT_FOUND: EXIT.notFound,
  ERR_IMGTOOL_ALREADY_EXISTS: EXIT.notFound,
  ERR_IMGTOOL_AUTHENTICATION: EXIT.authentication,
  ERR_IMGTOOL_REGISTRY: EXIT.network,
  ERR_IMGTOOL_TRANSPORT: EXIT.network,
  ERR_IMGTOOL_DIGEST_MISMATCH: EXIT.content,
  ERR_IMGTOOL_SIZE_MISMATCH: EXIT.content,
  ERR_IMGTOOL_UNSUPPORTED_MEDIA_TYPE: EXIT.content,
  ERR_IMGTOOL_INVALID_MANIFEST: EXIT.content,
  ERR_IMGTOOL_LAYER_FORMAT: EXIT.content,
  ERR_IMGTOOL_ARCHIVE_FORMAT: EXIT.content,
  ERR_IMGTOOL_PATH_ESCAPE: EXIT.content,
  ERR_IMGTOOL_SYSCALL: EXIT.store,
  ERR_IMGTOOL_STORE: EXIT.store,
  ERR_IMGTOOL_SUBVOLUME: EXIT.store,
  ERR_IMGTOOL_COMMAND: EXIT.store,
  ERR_IMGTOOL_CONTAINER_START: EXIT.notStarted,
  ERR_IMGTOOL_DISK_SPACE: EXIT.space,
  ERR_IMGTOOL_PARTIAL: EXIT.partial,
};

/** Whether `error` is a cancellation, however deep it was wrapped. */
export function isAbort(error: unknown): boolean {
  return findCause(error, ({ name }) => name === 'AbortError') !== undefined;
}

/** The exit code for what an operation threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ContainerStartError) return error.exitCode;
  // What filled the disk may have ended other work, which then says that it was interrupted.
  if (!(error instanceof PartialError) && findCause(error, isDiskFull) !== undefined) return EXIT.space;
  if (isAbort(error)) return EXIT.interrupted;
  if (error instanceof ImgtoolError) return EXIT_OF_ERROR[error.code] ?? EXIT.failure;
  return EXIT.failure;
}
