import { UsageError } from '../../errors.js';
import type { Conversion } from '../convert/index.js';

/** Parses the format of a mirror. Throws UsageError. */
export function parseMirrorFormat(text: string): 'oci' | 'v2s2' {
  if (text === 'oci' || text === 'v2s2') return text;
  throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is neither oci nor v2s2`, {
    hint: text === 'v2s1' ? 'an image of schema 1 is another one under each tag: use imgtool copy for it' : undefined,
  });
}

/** Validates the conversion of a mirror. Throws UsageError. */
export function mirrorConversion(
  { format, compression }: Conversion,
  { referrers }: { readonly referrers: boolean },
): Conversion | undefined {
  if (format === undefined && compression === undefined) return undefined;
  if (compression?.kind === 'zstd' && format === 'v2s2') {
    throw new UsageError('Docker manifests (v2s2) cannot hold layers compressed with zstd', {
      hint: 'use compression gzip, or format oci',
    });
  }
  if (referrers) {
    throw new UsageError('referrers refer to digests, which format and compression change', {
      hint: 'leave out one of them, or make two mirrors of it',
    });
  }
  return { format, compression };
}
