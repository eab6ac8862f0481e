import { UsageError } from '../errors.js';
import type { Conversion } from '../operations/index.js';
import { parseCompression } from '../spec/index.js';
import type { Options } from './options.js';

/** The value of `--compression`, which must go together with that of `--format`. Throws UsageError. */
export function compressionFor(options: Options): Conversion['compression'] {
  const text = options.text('compression');
  const compression = text === undefined ? undefined : parseCompression(text);
  if (compression?.kind === 'zstd' && /^v2s[12]$/.test(options.text('format') ?? '')) {
    throw new UsageError('Docker manifests (v2s2, v2s1) have no form for layers compressed with zstd', {
      hint: 'use --compression gzip, or --format oci',
    });
  }
  return compression;
}
