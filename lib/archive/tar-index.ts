import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { ArchiveFormatError, ImgtoolError } from '../errors.js';
import { MAX_MEMBERS } from './limits.js';
import { linkedName, memberName } from './member-name.js';

/** A member of a tar: bytes at an offset, or another name. */
export type TarMember =
  | { readonly kind: 'file'; readonly offset: number; readonly size: number }
  | { readonly kind: 'link'; readonly target: string };

/** Set by tar-stream 3, which its types do not say. */
type PlacedHeaders = Header & { readonly byteOffset: number };

/**
 * Where each file of a tar lies, by its name; directories are left out. Throws ArchiveFormatError (no tar, cut off, a name
 * twice, a device, too many members), PathEscapeError (a name or link that leads out).
 */
export async function indexTar(source: Readable, title: string, signal: AbortSignal): Promise<Map<string, TarMember>> {
  const members = new Map<string, TarMember>();
  const reader = extract();
  let problem: unknown;
  reader.on('entry', (header, body, next) => {
    // What is wrong with the whole is wrong with the member, and told once.
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
    // What the disk says is no fault of the archive.
    if (error instanceof ImgtoolError || (error as NodeJS.ErrnoException).errno !== undefined) throw error;
    throw new ArchiveFormatError(`${title} is not an image archive, or it is damaged: ${(error as Error).message}`, {
      cause: error,
      hint: 'give an OCI layout or an archive that docker, podman, skopeo or imgtool saved',
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

function describe(name: string, { type, size = 0, byteOffset, linkname }: PlacedHeaders): TarMember {
  if (type === 'file' || type === 'contiguous-file') return { kind: 'file', offset: byteOffset, size };
  if (type === 'symlink') return { kind: 'link', target: linkedName(name, linkname ?? '') };
  if (type === 'link') return { kind: 'link', target: memberName(linkname ?? '') };
  throw new ArchiveFormatError(`the archive has a member that is neither a file nor a link: ${name}`, { entry: name });
}
