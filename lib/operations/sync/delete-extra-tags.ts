import { NotFoundError, UsageError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import type { RegistryDestination } from '../copy/index.js';
import { removeTag } from '../registry/index.js';
import { isAttachedTag, matchesAny } from '../sync-rules/index.js';
import type { SyncRun } from './sync-run.js';

/**
 * Removes tags of a target that were not selected, and records each one before. Keeps protected tags and those that
 * belong to images (signatures). Throws UsageError when nothing is selected or too many tags would be removed, and the
 * errors of the registry and of `removeTag`.
 */
export async function deleteExtraTags(
  run: SyncRun,
  { reader, writer }: RegistryDestination,
  job: {
    /** `host/repository`, for the report. */
    readonly source: string;
    readonly selected: ReadonlySet<string>;
    /** Tags of the source without a known age. They are not selected, but may not be removed either. */
    readonly undated: ReadonlySet<string>;
    readonly maxDelete: number;
    readonly protect: readonly string[];
    /** Digests of tags that the target is known to have. */
    readonly digests: ReadonlyMap<string, Digest>;
  },
): Promise<void> {
  const { deps, request, results, signal } = run;
  const { source, selected, undated, maxDelete, protect } = job;
  const target = `${writer.host}/${writer.repository}`;
  const left = new Set<string>();
  try {
    for await (const tag of reader.tags({ signal })) left.add(tag);
  } catch (error) {
    if (error instanceof NotFoundError) return;
    throw error;
  }
  const stays = (tag: string): boolean =>
    selected.has(tag) || undated.has(tag) || isAttachedTag(tag) || matchesAny(protect, tag);
  const extra = [...left].filter((tag) => !stays(tag));
  if (extra.length === 0) return;
  if (selected.size === 0) {
    throw new UsageError(`no tag of ${source} is wanted: the ${extra.length} tags of ${target} stay`, {
      hint: 'check the source and the rules; remove tags with: imgtool delete',
    });
  }
  if (extra.length > maxDelete) {
    throw new UsageError(`${extra.length} tags of ${target} are extra, over the limit of ${maxDelete}: all stay`, {
      hint: 'look at them with --dry-run, and raise --max-delete when they may go',
    });
  }
  const digests = new Map(job.digests);
  const askOthers = async (): Promise<void> => {
    const unknown = [...left].filter((tag) => !digests.has(tag));
    await run.askEach(unknown, async (tag) => {
      // Reads the manifest, because a wrong digest in a HEAD response could cause a tag to be removed together with
      // another manifest.
      const found = await ifFound(reader.manifest({ tag }, { signal }));
      if (found === undefined) left.delete(tag);
      else digests.set(tag, found.descriptor.digest);
    });
  };
  for (const tag of extra) {
    const place = { source, target, tag };
    if (request.dryRun) {
      results.plannedRequests += 2;
      results.add({ ...place, state: 'planned-delete' });
      continue;
    }
    const manifest = await ifFound(reader.manifest({ tag }, { signal }));
    left.delete(tag);
    // Another client has removed it.
    if (manifest === undefined) continue;
    const { digest } = manifest.descriptor;
    await deps.recordDeletion({ target, tag, manifest });
    const isShared = async (): Promise<boolean> => {
      await askOthers();
      return [...left].some((other) => digests.get(other) === digest);
    };
    await removeTag(writer, { tag, manifest, isShared, signal });
    results.add({ ...place, state: 'deleted', digest });
  }
}
