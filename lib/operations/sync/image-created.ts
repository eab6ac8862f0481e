import {
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseManifest,
  hostPlatform,
  isConfigType,
  type RawManifest,
} from '../../spec/index.js';
import { choosePlatform, readBlob, type RegistrySource } from '../registry/index.js';

/** When an image says it was created, ms since 1970; undefined when it does not. Throws what the source throws. */
export async function imageCreated(
  source: RegistrySource,
  top: RawManifest,
  signal: AbortSignal,
): Promise<number | undefined> {
  let document = parseManifest(top.bytes, top.descriptor.mediaType, `manifest ${top.descriptor.digest}`);
  if (document.kind === 'index') {
    const entries = document.manifests;
    const entry = entries.length === 0 ? undefined : entryFor(document);
    if (entry === undefined) return undefined;
    const raw = await source.manifest({ digest: entry.digest }, { signal });
    document = parseManifest(raw.bytes, raw.descriptor.mediaType, `manifest ${entry.digest}`);
  }
  if (document.kind === 'index' || !isConfigType(document.config.mediaType)) return undefined;
  const bytes = await readBlob(source.reader.blob(document.config), { maxBytes: MAX_CONFIG_BYTES, signal });
  const created = Date.parse(parseImageConfig(bytes, `config ${document.config.digest}`).created ?? '');
  return Number.isNaN(created) ? undefined : created;
}

/** That of this machine, or the first: all of an index are built together. */
function entryFor(index: Parameters<typeof choosePlatform>[0]): ReturnType<typeof choosePlatform> | undefined {
  try {
    return choosePlatform(index, hostPlatform());
  } catch {
    return index.manifests[0];
  }
}
