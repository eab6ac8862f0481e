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
  [EXIT.failure, 'any other failure; a RUN of a Dockerfile that failed'],
  [EXIT.usage, 'wrong usage or malformed reference'],
  [EXIT.notFound, 'not found, already exists or in use'],
  [EXIT.authentication, 'authentication or authorization failed'],
  [EXIT.network, 'registry or network error, after retries'],
  [EXIT.content, 'invalid content: digest, manifest, layer, hostile entry'],
  [EXIT.store, 'error of the local store, of btrfs or of a required program'],
  [EXIT.space, 'out of disk space or quota'],
  [EXIT.interrupted, 'interrupted (SIGINT, SIGTERM); running the command again resumes'],
  [EXIT.partial, 'partial success; the report lists what failed'],
  [EXIT.notStarted, '`run`: the command could not be started; 126: not executable, 127: not found'],
  [EXIT.readerGone, 'the reader of the output closed the pipe early (`| head`); no message'],
]);

/** Error code → exit code: the only such table. */
export const EXIT_OF_ERROR: Readonly<Record<string, number>> = {
  ERR_IMGTOOL_USAGE: EXIT.usage,
  ERR_IMGTOOL_INVALID_REFERENCE: EXIT.usage,
  ERR_IMGTOOL_DOCKERFILE: EXIT.usage,
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
  ERR_IMGTOOL_BUILD_STEP: EXIT.failure,
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
