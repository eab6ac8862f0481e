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

/** What the two workers of an applier are started with. */
export interface WorkerData {
  readonly ring: RingMemory;
  readonly inflateEngine: InflateEngineName | undefined;
}

/** Sent by a thread that has loaded all it needs. */
export const READY = 'ready';

/** Sent instead of a job: nothing more will come. */
export const CLOSE = 'close';

/** Work for the inflating thread. */
export interface InflateJob {
  readonly fd: number;
  /** `GrowingFile.shared` of the blob. */
  readonly growing: SharedArrayBuffer;
}

/** Work for the thread that takes the tar: unpacking it, or writing an index of its members. */
export type UnpackJob =
  | { readonly root: string; readonly plainNames: boolean }
  | { readonly index: number; readonly data: number | undefined; readonly plainNames: boolean };

/** Work for a compressing thread. */
export interface CompressJob {
  /** In memory that threads share; not changed before the answer. */
  readonly block: Uint8Array;
  readonly compression: 'gzip' | 'zstd';
  /** Of zlib or zstd; undefined for the default: gzip by our own deflate. */
  readonly level: number | undefined;
  /** Gzip: what came before the block, at most 32 KiB of it. */
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

/** The answer to a job; `stopped`: it left off because it was told to. */
export type WorkerReply<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An error as it crosses threads. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly entry: string | undefined;
  readonly errno: string | undefined;
  readonly syscall: string | undefined;
  readonly path: string | undefined;
  readonly mediaType: string | undefined;
  /** Of errors that nobody raised on purpose. */
  readonly stack: string | undefined;
}

/** Runs one job in a worker and says how it ended. */
export async function answerJob<Result>(job: () => Result | Promise<Result>): Promise<WorkerReply<Result>> {
  try {
    return { kind: 'done', result: await job() };
  } catch (error) {
    return error instanceof StoppedError ? { kind: 'stopped' } : { kind: 'failed', failure: toFailure(error) };
  }
}

function toFailure(error: unknown): Failure {
  const known = error as Partial<Failure> & { readonly code?: string };
  const own = typeof known.code === 'string' && known.code.startsWith('ERR_IMGTOOL_');
  return {
    name: String(known.name),
    message: String(known.message ?? error),
    hint: known.hint,
    entry: known.entry,
    errno: known.errno === undefined ? undefined : String(known.errno),
    syscall: known.syscall,
    path: known.path,
    mediaType: known.mediaType,
    stack: own ? undefined : known.stack,
  };
}

/** The error that `failure` was, as an object of its class. */
export function errorFromWorker(failure: Failure): Error {
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
        errno: failure.errno ?? '',
        syscall: failure.syscall ?? '',
        path: failure.path,
      });
    default: {
      const error = new Error(message);
      if (failure.stack !== undefined) error.stack = failure.stack;
      return error;
    }
  }
}
