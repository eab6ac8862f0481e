import type { RegistryClient } from '../../registry/index.js';
import { formatReference, tagOrDigest, type Digest, type Reference } from '../../spec/index.js';
import { selectManifest, type Selection } from '../convert/index.js';
import { KnownBlobs, openRegistryDestination } from '../copy/index.js';
import { openRegistrySource } from '../registry/index.js';
import { estimateCopy } from './plan-tag.js';

/** What a copy between registries would do; bytes to send, requests to all of them, both estimated. */
export interface CopyPlan {
  /** Of the manifest or index that would be copied. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
  readonly requests: number;
  readonly targets: readonly { readonly name: string; readonly state: 'present' | 'to-copy' }[];
}

/** Says what a copy would send; changes nothing. Throws what the registries throw, NotFoundError. */
export async function planCopy(
  {
    registry,
    sourceRegistry = registry,
  }: { readonly registry: RegistryClient; readonly sourceRegistry?: RegistryClient },
  order: {
    readonly source: Reference;
    readonly destinations: readonly Reference[];
    readonly selection: Selection;
    readonly signal: AbortSignal;
  },
): Promise<CopyPlan> {
  const { signal, selection } = order;
  const source = await openRegistrySource(sourceRegistry, order.source, { signal });
  try {
    const raw = await source.manifest(tagOrDigest(order.source), { signal });
    const { raw: top } = await selectManifest(source, raw, { selection, preserveDigests: false, signal });
    const known = new KnownBlobs();
    const targets: CopyPlan['targets'][number][] = [];
    const stale = [];
    for (const reference of order.destinations) {
      const destination = await openRegistryDestination(registry, reference, { signal, known });
      const present = await destination.hasManifest(top.descriptor, { signal });
      targets.push({ name: formatReference(reference), state: present ? 'present' : 'to-copy' });
      if (!present) stale.push(destination);
    }
    const { bytes, requests } =
      stale.length === 0
        ? { bytes: 0, requests: 0 }
        : await estimateCopy(source, top, { destinations: stale, known, signal });
    const { digest, mediaType } = top.descriptor;
    return { digest, mediaType, bytes, requests, targets };
  } finally {
    await source.close();
  }
}
