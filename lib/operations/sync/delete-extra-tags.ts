import { NotFoundError, UsageError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import type { RegistryDestination } from '../copy/index.js';
import { removeTag } from '../registry/index.js';
import { isAttachedTag, matchesAny } from '../sync-rules/index.js';
import type { SyncRun } from './sync-run.js';

/**
 * Removes what a target has besides the tags selected, each recorded before; protected tags and those that belong to images
 * stay. Throws UsageError when nothing is selected or too much would go, what the registry and `removeTag` throw.
 */
export async function deleteExtraTags(
  run: SyncRun,
  { reader, writer }: RegistryDestination,
  job: {
    /** `host/repository`, for the report. */
    readonly source: string;
    readonly selected: ReadonlySet<string>;
    /** Tags of the source whose age is not known: they are not wanted, but nothing shows that they are extra either. */
    readonly undated: ReadonlySet<string>;
    readonly maxDelete: number;
    readonly protect: readonly string[];
    /** Tags that are known to be there. */
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
      // By its bytes: what HEAD says may be wrong, and a tag would go with another one's manifest.
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
    // Somebody else was faster.
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
