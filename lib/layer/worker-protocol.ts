import {
  DiskSpaceError,
  LayerFormatError,
  PathEscapeError,
  SyscallError,
  UnsupportedMediaTypeError,
} from '../errors.js';
import type { DiffId } from '../spec/index.js';
import type { Compression } from './compression/detect.js';
import type { InflateEngineName } from './compression/inflate-engines.js';
import type { RingMemory } from './ring.js';
import { SourceFailedError } from './source-failed-error.js';
import { StoppedError } from './stopped-error.js';

/** Start-up data of the two workers of an applier. */
export interface WorkerData {
  readonly ring: RingMemory;
  readonly inflateEngine: InflateEngineName | undefined;
}

/** Sent by a thread when it has loaded. */
export const READY = 'ready';

/** Sent instead of a job to end the thread. */
export const CLOSE = 'close';

export interface InflateJob {
  readonly fd: number;
  /** `GrowingFile.shared` of the blob. */
  readonly growing: SharedArrayBuffer;
}

/** A job of the tar thread: unpack the tar, or index its members. */
export type UnpackJob =
  | { readonly root: string; readonly plainNames: boolean }
  | { readonly index: number; readonly data: number | undefined; readonly plainNames: boolean };

export interface CompressJob {
  /** In shared memory; must not change before the reply. */
  readonly block: Uint8Array;
  readonly compression: 'gzip' | 'zstd';
  /** Level of zlib or zstd. Undefined: the default, which for gzip is imgtool's own deflate. */
  readonly level: number | undefined;
  /** Gzip: up to 32 KiB of data that precede the block. */
  readonly dictionary?: Uint8Array;
}

export interface InflateResult {
  readonly diffId: DiffId;
  readonly size: number;
  readonly compression: Compression;
  readonly notes: readonly string[];
}

export interface UnpackResult {
  readonly entries: number;
  readonly notes: readonly string[];
}

/** The reply to a job. `stopped`: the job ended because it was asked to stop. */
export type WorkerReply<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An error as sent between threads. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly entry: string | undefined;
  readonly code: string | undefined;
  /** A name in SyscallError, a number in node's system errors. */
  readonly errno: string | number | undefined;
  readonly syscall: string | undefined;
  readonly path: string | undefined;
  readonly mediaType: string | undefined;
  /** Only for unexpected errors. */
  readonly stack: string | undefined;
}

/** Runs one job in a worker and returns its outcome. */
export async function answerJob<Result>(job: () => Result | Promise<Result>): Promise<WorkerReply<Result>> {
  try {
    return { kind: 'done', result: await job() };
  } catch (error) {
    return error instanceof StoppedError ? { kind: 'stopped' } : { kind: 'failed', failure: toFailure(error) };
  }
}

function toFailure(error: unknown): Failure {
  const known = error as Partial<Failure>;
  const own = typeof known.code === 'string' && known.code.startsWith('ERR_IMGTOOL_');
  return {
    name: String(known.name),
    message: String(known.message ?? error),
    hint: known.hint,
    entry: known.entry,
    code: known.code,
    errno: known.errno,
    syscall: known.syscall,
    path: known.path,
    mediaType: known.mediaType,
    stack: own ? undefined : known.stack,
  };
}

/** Restores an error of the original class from `failure`. */
export function workerError(failure: Failure): Error {
  const { message, hint, entry } = failure;
  switch (failure.name) {
    case 'LayerFormatError':
      return new LayerFormatError(message, { hint, entry });
    case 'PathEscapeError':
      return new PathEscapeError(message, { hint, entry: entry ?? '' });
    case 'UnsupportedMediaTypeError':
      return new UnsupportedMediaTypeError(message, { hint, mediaType: failure.mediaType ?? '' });
    case 'DiskSpaceError':
      return new DiskSpaceError(message, { hint });
    case 'SourceFailedError':
      return new SourceFailedError();
    case 'SyscallError':
      return new SyscallError(message, {
        hint,
        errno: String(failure.errno ?? ''),
        syscall: failure.syscall ?? '',
        path: failure.path,
      });
    default: {
      const { code, errno, syscall, path, stack } = failure;
      return Object.assign(new Error(message), {
        code,
        errno,
        syscall,
        path,
        ...(stack === undefined ? {} : { stack }),
      });
    }
  }
}
