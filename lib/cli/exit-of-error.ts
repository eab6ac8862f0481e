import { ContainerStartError, findCause, ImgtoolError, isDiskFull, PartialError } from '../errors.js';
import { EXIT } from './exit-codes.js';

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
