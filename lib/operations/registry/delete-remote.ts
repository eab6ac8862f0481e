import { UsageError } from '../../errors.js';
import type { RegistryClient, V1Repository } from '../../registry/index.js';
import { mapLimited } from '../../util/index.js';
import { type Digest, type Reference, tagOrDigest } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { byProtocol } from './by-protocol.js';
import { findTag } from './find-tag.js';
import { removeTag } from './remove-tag.js';

/** The result of a removal. `digest`: null over protocol v1. `tags`: the tags that named the manifest, sorted. */
export interface DeletedManifest {
  readonly digest: Digest | null;
  readonly tags: readonly string[];
}

export interface DeleteOptions {
  readonly tagOnly: boolean;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

const PARALLEL = 6;

/**
 * Removes the manifest that a reference names, and with it all its tags; with `tagOnly`, or over protocol v1, only the
 * tag; with `dryRun`, nothing. Blobs stay until the registry's garbage collection. Throws NotFoundError, UsageError,
 * RegistryError (deleting is not allowed).
 */
export async function deleteRemoteManifest(
  { registry }: Pick<OperationDeps, 'registry'>,
  reference: Reference,
  options: DeleteOptions,
): Promise<DeletedManifest> {
  return byProtocol(registry, reference, {
    v2: () => deleteByV2(registry, reference, options),
    v1: (repository) => deleteByV1(repository, reference, options),
    signal: options.signal,
  });
}

async function deleteByV1(
  repository: V1Repository,
  { tag, digest }: Reference,
  { dryRun, signal }: DeleteOptions,
): Promise<DeletedManifest> {
  if (tag === undefined || digest !== undefined) {
    throw new UsageError(`${repository.host} speaks registry protocol v1, which knows tags and no digests`, {
      hint: 'write HOST/REPOSITORY:TAG',
    });
  }
  await repository.resolve(tag, { signal });
  if (!dryRun) await repository.deleteTag(tag, { signal });
  return { digest: null, tags: [tag] };
}

async function deleteByV2(
  registry: RegistryClient,
  reference: Reference,
  { signal, tagOnly, dryRun }: DeleteOptions,
): Promise<DeletedManifest> {
  const [reader, writer] = await Promise.all([
    registry.open(reference, { signal, mirrors: false }),
    registry.openWriter(reference, { signal }),
  ]);
  const { digest } = await reader.resolve(tagOrDigest(reference), { signal });
  const listed: string[] = [];
  for await (const tag of reader.tags({ signal })) listed.push(tag);
  const found = await mapLimited(listed, PARALLEL, (tag) => findTag(reader, tag, signal));
  const tags = listed.filter((_tag, i) => found[i]?.digest === digest).sort();
  if (tagOnly && reference.tag !== undefined) {
    const { tag } = reference;
    const isShared = (): Promise<boolean> => Promise.resolve(tags.some((other) => other !== tag));
    const manifest = await reader.manifest({ tag }, { signal });
    if (!dryRun) await removeTag(writer, { tag, manifest, isShared, signal });
    return { digest, tags: [tag] };
  }
  if (!dryRun) await writer.deleteManifest({ digest }, { signal });
  return { digest, tags };
}
