import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { ImgtoolError, LayerFormatError, UsageError } from '../errors.js';
import type { ReopenableBlob } from '../spec/index.js';
import { decompress, detectCompression } from './decompress.js';
import { peek } from './peek.js';
import { verified } from './verified.js';

/** The content of a layer at a path. */
export type LayerAnswer =
  | { readonly kind: 'file'; readonly bytes: Buffer }
  /** `path`: where to continue, from the root. `here`: in this layer and those below. */
  | { readonly kind: 'link'; readonly path: string; readonly here: boolean }
  /** The path exists neither in this layer nor in those below. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'other'; readonly type: string };

/** A path and the layer to search. */
export interface LayerSearch {
  /** Gzip, zstd or plain. */
  readonly layer: ReopenableBlob;
  /** Names from the root, without `.` and `..`. */
  readonly parts: readonly string[];
  /** Size limit in bytes; larger files are refused. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const HEAD_BYTES = 512;

/**
 * Finds a path in one layer; undefined when the layer does not affect it. Reads the whole layer, because the last
 * member with a name counts and the digest is known only at the end. Throws LayerFormatError, DigestMismatchError,
 * SizeMismatchError, UsageError (too large), and the errors of the blob.
 */
export async function searchLayer(search: LayerSearch): Promise<LayerAnswer | undefined> {
  const { layer, parts, maxBytes, signal } = search;
  const title = `layer ${layer.descriptor.digest}`;
  const wanted = parts.join('/');
  const found = new Map<string, LayerAnswer>();
  let hidden = false;
  const reader = extract();
  reader.on('entry', (header, body, next) => {
    body.on('error', () => undefined);
    const name = normalized(header.name);
    const answer = answerOf(name, header.type ?? 'file', header.linkname ?? '', parts);
    hidden ||= hides(name, parts);
    const isFile = name === wanted && (header.type === 'file' || header.type === 'contiguous-file');
    const chunks: Buffer[] = [];
    if (isFile && (header.size ?? 0) > maxBytes) {
      return next(new UsageError(`/${wanted} has ${header.size} bytes, more than ${maxBytes}`));
    }
    if (isFile) body.on('data', (chunk) => chunks.push(chunk as Buffer));
    else body.resume();
    body.on('end', () => {
      if (isFile) found.set(name, { kind: 'file', bytes: Buffer.concat(chunks) });
      else if (answer !== undefined) found.set(name, answer);
      else if (isAbove(name, parts)) found.delete(name);
      next();
    });
  });
  const { head, rest } = await peek(verified(layer, { signal }), HEAD_BYTES);
  try {
    await pipeline(decompress(rest, detectCompression(head, title), title), reader, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ImgtoolError) throw error;
    throw new LayerFormatError(`${title} cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    rest.destroy();
  }
  return firstOnTheWay(found, parts) ?? (hidden ? { kind: 'gone' } : undefined);
}

/** A link or file among the parent directories ends the search. */
function firstOnTheWay(found: ReadonlyMap<string, LayerAnswer>, parts: readonly string[]): LayerAnswer | undefined {
  for (let depth = 1; depth <= parts.length; depth++) {
    const answer = found.get(parts.slice(0, depth).join('/'));
    if (answer !== undefined) return answer;
  }
  return undefined;
}

function answerOf(name: string, type: string, target: string, parts: readonly string[]): LayerAnswer | undefined {
  const depth = name.split('/').length;
  if (!isAbove(name, parts)) return undefined;
  const rest = parts.slice(depth);
  if (type === 'symlink') {
    const from = target.startsWith('/') ? [] : parts.slice(0, depth - 1);
    return { kind: 'link', path: [...from, target, ...rest].join('/'), here: false };
  }
  if (type === 'link' && rest.length === 0) return { kind: 'link', path: normalized(target), here: true };
  if (type === 'directory' && rest.length > 0) return undefined;
  return rest.length === 0 ? { kind: 'other', type } : { kind: 'gone' };
}

/** Reports whether `name` is the path or one of its parent directories. */
function isAbove(name: string, parts: readonly string[]): boolean {
  const names = name.split('/');
  return names.length <= parts.length && names.every((part, index) => part === parts[index]);
}

/** Reports whether a whiteout hides the path of the layers below. */
function hides(name: string, parts: readonly string[]): boolean {
  const names = name.split('/');
  const last = names.pop()!;
  if (last === OPAQUE) return names.length < parts.length && (names.length === 0 || isAbove(names.join('/'), parts));
  return last.startsWith(WHITEOUT) && isAbove([...names, last.slice(WHITEOUT.length)].join('/'), parts);
}

function normalized(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
