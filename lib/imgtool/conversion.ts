import { UsageError } from '../errors.js';
import type { Conversion } from '../operations/index.js';
import { parseCompression } from '../spec/index.js';

/** Parses the option `compression` and checks it against `format`. Throws UsageError. */
export function compressionOf({
  compression: text,
  format,
}: {
  readonly compression?: string | undefined;
  readonly format?: string | undefined;
}): Conversion['compression'] {
  const compression = text === undefined ? undefined : parseCompression(text);
  if (compression?.kind === 'zstd' && /^v2s[12]$/.test(format ?? '')) {
    throw new UsageError('Docker manifests (v2s2, v2s1) have no form for layers compressed with zstd', {
      hint: 'use --compression gzip, or --format oci',
    });
  }
  return compression;
}
