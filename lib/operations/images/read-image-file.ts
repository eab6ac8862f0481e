import type { LayerAnswer, LayerSearch } from '../../archive/index.js';
import { NotFoundError, UsageError } from '../../errors.js';
import { type Platform, type Reference, tagOrDigest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { reopenable, resolveImage } from '../registry/index.js';

/** The kernel's limit of links in one path. */
const MAX_LINKS = 40;

export interface ReadFileRequest {
  readonly reference: Reference;
  /** `/etc/os-release`; the leading slash is optional. */
  readonly path: string;
  readonly platform: Platform;
  /** Larger files are refused. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

type Deps = Pick<OperationDeps, 'registry'> & {
  /** Searches a layer for a path (`searchLayer` of the room archive). */
  readonly searchLayer: (search: LayerSearch) => Promise<LayerAnswer | undefined>;
};

/**
 * Reads one file of an image at its registry. Streams and verifies layers from the top down until one has the file or
 * removes it. Follows symbolic links inside the image. Throws NotFoundError (no such file), UsageError (not a regular
 * file, or too large), LayerFormatError, DigestMismatchError, the errors of the registry.
 */
export async function readImageFile(
  { registry, searchLayer }: Deps,
  { reference, path, platform, maxBytes, signal }: ReadFileRequest,
): Promise<Buffer> {
  const repository = await registry.open(reference, { signal });
  const { manifest } = await resolveImage(repository, tagOrDigest(reference), { platform, signal });
  const layers = [...manifest.layers].reverse();
  let parts = partsOf(path);
  let first = 0;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const found = await searchDown(first);
    if (found === undefined) throw notFoundError(path, reference);
    if (found.answer.kind === 'file') return found.answer.bytes;
    if (found.answer.kind === 'other') throw new UsageError(`${path} is not a file but a ${found.answer.type}`);
    if (found.answer.kind === 'gone') throw notFoundError(path, reference);
    parts = partsOf(found.answer.path);
    first = found.answer.here ? found.at : 0;
  }
  throw new UsageError(`${path} leads through more than ${MAX_LINKS} links`);

  async function searchDown(from: number): Promise<{ readonly answer: LayerAnswer; readonly at: number } | undefined> {
    if (parts.length === 0) return { answer: { kind: 'other', type: 'directory' }, at: from };
    for (let at = from; at < layers.length; at++) {
      const layer = reopenable(repository.blob(layers[at]!));
      const answer = await searchLayer({ layer, parts, maxBytes, signal });
      if (answer !== undefined) return { answer, at };
    }
    return undefined;
  }
}

/** Splits a path into names; `..` stops at the root. */
function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts;
}

function notFoundError(path: string, { host, repository }: Reference): NotFoundError {
  return new NotFoundError(`the image at ${host}/${repository} has no file ${path}`, { kind: 'file', subject: path });
}
