import { ArchiveFormatError, PathEscapeError } from '../errors.js';
import { MAX_NAME_BYTES } from './limits.js';

/**
 * Normalizes a member's name: removes `./`, repeated and trailing slashes; '' for the root. Files are never written
 * under these names, but one that leads outside is invalid. Throws PathEscapeError, ArchiveFormatError.
 */
export function memberName(raw: string): string {
  if (Buffer.byteLength(raw) > MAX_NAME_BYTES) {
    throw new ArchiveFormatError(`the archive has a name of over ${MAX_NAME_BYTES} bytes`, {
      entry: raw.slice(0, 100),
    });
  }
  if (raw.startsWith('/') || raw.split('/').includes('..')) throw pathEscapeError(raw);
  return joinParts(raw.split('/'));
}

/** The target inside the archive of a symbolic link at `name` (a member's name). Throws PathEscapeError, ArchiveFormatError. */
export function linkedName(name: string, target: string): string {
  if (Buffer.byteLength(target) > MAX_NAME_BYTES) {
    throw new ArchiveFormatError(`the link ${name} has a target of over ${MAX_NAME_BYTES} bytes`, { entry: name });
  }
  if (target.startsWith('/')) throw pathEscapeError(name, target);
  const parts = name.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part !== '..') parts.push(part);
    else if (parts.filter(isPart).length === 0) throw pathEscapeError(name, target);
    else parts.pop();
  }
  return joinParts(parts);
}

function joinParts(parts: readonly string[]): string {
  return parts.filter(isPart).join('/');
}

function isPart(part: string): boolean {
  return part !== '' && part !== '.';
}

function pathEscapeError(entry: string, target?: string): PathEscapeError {
  const what = target === undefined ? entry : `${entry} -> ${target}`;
  return new PathEscapeError(`the archive has a member that leads outside: ${what.slice(0, 200)}`, { entry });
}
