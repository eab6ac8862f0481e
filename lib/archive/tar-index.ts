import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { ArchiveFormatError, ImgtoolError } from '../errors.js';
import { MAX_MEMBERS } from './limits.js';
import { linkedName, memberName } from './member-name.js';

/** A member of a tar: bytes at an offset, or a link to another name. */
export type TarMember =
  | { readonly kind: 'file'; readonly offset: number; readonly size: number }
  | { readonly kind: 'link'; readonly target: string };

/** Set by tar-stream 3, but missing in its types. */
type PlacedHeaders = Header & { readonly byteOffset: number };

/**
 * The location of each file in a tar, by name; without directories. Throws ArchiveFormatError (not a tar, truncated,
 * duplicate name, device, too many members), PathEscapeError (a name or link that leads outside).
 */
export async function indexTar(source: Readable, title: string, signal: AbortSignal): Promise<Map<string, TarMember>> {
  const members = new Map<string, TarMember>();
  const reader = extract();
  let problem: unknown;
  reader.on('entry', (header, body, next) => {
    // An error of the archive also reaches the member, but must be reported only once.
    body.on('error', () => undefined);
    try {
      addMember(members, header as PlacedHeaders);
    } catch (error) {
      problem = error;
      return next(error as Error);
    }
    body.on('end', next);
    body.resume();
  });
  try {
    await pipeline(source, reader, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (problem !== undefined) throw problem as Error;
    // An error of the disk is not a fault of the archive.
    if (error instanceof ImgtoolError || (error as NodeJS.ErrnoException).errno !== undefined) throw error;
    throw new ArchiveFormatError(`${title} is not an image archive, or it is damaged: ${(error as Error).message}`, {
      cause: error,
      hint: 'specify an OCI layout or an archive saved by docker, podman, skopeo or imgtool',
    });
  }
  return members;
}

function addMember(members: Map<string, TarMember>, header: PlacedHeaders): void {
  const name = memberName(header.name);
  if (header.type === 'directory') return;
  if (members.has(name)) {
    throw new ArchiveFormatError(`the archive has two members named ${name}`, { entry: name });
  }
  if (members.size >= MAX_MEMBERS) throw new ArchiveFormatError(`the archive has over ${MAX_MEMBERS} members`);
  members.set(name, describe(name, header));
}

function describe(name: string, { type, size, byteOffset, linkname }: PlacedHeaders): TarMember {
  if (type === 'file' || type === 'contiguous-file') return { kind: 'file', offset: byteOffset, size };
  if (type === 'symlink') return { kind: 'link', target: linkedName(name, linkname ?? '') };
  if (type === 'link') return { kind: 'link', target: memberName(linkname ?? '') };
  throw new ArchiveFormatError(`the archive has a member that is neither a file nor a link: ${name}`, { entry: name });
}
