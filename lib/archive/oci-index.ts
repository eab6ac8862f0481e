import type { Descriptor } from '../spec/index.js';
import { CONTAINERD_NAME, REF_NAME } from './oci-layout-reader.js';
import type { ArchiveName } from './types.js';

/** Content of the file `oci-layout` (image-spec image-layout.md). */
export const OCI_LAYOUT = '{"imageLayoutVersion":"1.0.0"}';

/**
 * Adds an entry to those of an index.json. An existing entry with the same name is removed. An image without a name is
 * listed once.
 */
export function setName(
  entries: readonly Descriptor[],
  { mediaType, digest, size, platform, artifactType }: Descriptor,
  { refName, name }: ArchiveName,
): Descriptor[] {
  const ref = refName ?? name;
  const annotations = {
    ...(name === undefined ? {} : { [CONTAINERD_NAME]: name }),
    ...(ref === undefined ? {} : { [REF_NAME]: ref }),
  };
  const named = (entry: Descriptor): string | undefined => entry.annotations?.[REF_NAME];
  if (ref === undefined && entries.some((entry) => entry.digest === digest)) return [...entries];
  const others = entries.filter((entry) => {
    if (ref === undefined) return true;
    return named(entry) !== ref && !(entry.digest === digest && named(entry) === undefined);
  });
  const entry: Descriptor = {
    mediaType,
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(ref === undefined ? {} : { annotations }),
  };
  return [...others, entry];
}
