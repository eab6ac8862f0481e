import { ContainerStartError, findCause, ImgtoolError, isDiskFull, PartialError } from '../errors.js';
import { EXIT } from './exit-codes.js';

/** The only table from error codes to exit codes. */
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

/** Reports whether `error` is a cancellation, wrapped or not. */
export function isAbort(error: unknown): boolean {
  return findCause(error, ({ name }) => name === 'AbortError') !== undefined;
}

/** The exit code for a thrown error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ContainerStartError) return error.exitCode;
  // A full disk may have interrupted other work, whose error then hides the cause.
  if (!(error instanceof PartialError) && findCause(error, isDiskFull) !== undefined) return EXIT.space;
  if (isAbort(error)) return EXIT.interrupted;
  if (error instanceof ImgtoolError) return EXIT_OF_ERROR[error.code] ?? EXIT.failure;
  return EXIT.failure;
}
