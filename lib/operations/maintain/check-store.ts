import { DigestMismatchError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import type { ChainId, Digest } from '../../spec/index.js';
import { checkLayer, type CheckLayerDeps } from '../layers/index.js';
import {
  hasLayer,
  isUnwritable,
  madeFrom,
  readRecords,
  type StoreRecords,
  sweepStore,
  unrecordedLayers,
} from '../store/index.js';
import { repairHint, isNeeded, type RepairDeps, repairStore } from './repair-store.js';

export type CheckDeps = CheckLayerDeps & RepairDeps;

export interface CheckRequest {
  /** Checks records and the presence of files; reads and unpacks nothing. */
  readonly quick: boolean;
  /** Removes damaged items and restores them, from a blob of the store or from a registry. */
  readonly repair: boolean;
  readonly signal: AbortSignal;
}

export interface Finding {
  readonly kind: 'blob' | 'layer' | 'image';
  /** Digest, chainID or image ID. */
  readonly subject: string;
  readonly problem: string;
  /**
   * `found`: unchanged, no repair was asked for. `repaired`: restored. `removed`: deleted, nothing needs it. `missing`: an
   * image or a container needs it, and it could not be restored.
   */
  readonly outcome: 'found' | 'repaired' | 'removed' | 'missing';
  readonly repaired: boolean;
  /** Advice for restoring a missing item. */
  readonly hint?: string;
}

/** The number of checked items and the problems found. */
export interface StoreCheck {
  readonly blobs: number;
  readonly layers: number;
  readonly images: number;
  readonly findings: readonly Finding[];
}

/** A problem, and a check whether it is solved. */
interface Problem extends Pick<Finding, 'kind' | 'subject' | 'problem'> {
  readonly isWhole: () => Promise<boolean>;
}

/**
 * Verifies the store: each blob by its digest, each layer by unpacking its blob again, each image by the documents and layers
 * it refers to. A repair waits until no other process works in the store. Files of containers are not changed. Throws
 * StoreError, SyscallError, DiskSpaceError, AbortError.
 */
export async function checkStore(deps: CheckDeps, request: CheckRequest): Promise<StoreCheck> {
  const { repair, signal } = request;
  deps.metadata.makeRoom();
  const store = await deps.metadata.lock('store', {
    mode: repair ? 'exclusive' : 'shared',
    signal,
    onWait: () => deps.progress.note('waiting for other imgtool processes that work in the store'),
  });
  try {
    await sweepStore(deps);
    const problems: Problem[] = [];
    const blobs = await checkBlobs(deps, request, problems);
    const records = await readRecords(deps);
    const { images, layers } = records;
    await checkLayers(deps, request, { records, problems });
    for (const image of images) await checkImage(deps, image, problems);
    if (repair && problems.length > 0) await repairStore(deps, request, { records, problems });
    const findings: Finding[] = [];
    for (const problem of problems) findings.push(await outcomeOf(problem, { repair, records }));
    return { blobs, layers: layers.length, images: new Set(images.map(({ id }) => id)).size, findings };
  } finally {
    store.release();
  }
}

async function outcomeOf(
  { kind, subject, problem, isWhole }: Problem,
  { repair, records }: { readonly repair: boolean; readonly records: StoreRecords },
): Promise<Finding> {
  const finding = { kind, subject, problem };
  if (!repair) return { ...finding, outcome: 'found', repaired: false };
  if (await isWhole()) return { ...finding, outcome: 'repaired', repaired: true };
  if (!isNeeded(records, subject)) return { ...finding, outcome: 'removed', repaired: false };
  return { ...finding, outcome: 'missing', repaired: false, hint: repairHint(records, subject) };
}

async function checkBlobs(
  deps: CheckDeps,
  { quick, repair, signal }: CheckRequest,
  problems: Problem[],
): Promise<number> {
  let count = 0;
  for await (const { digest } of deps.content.list()) {
    signal.throwIfAborted();
    count += 1;
    const damage = quick ? undefined : await damageOf(deps, digest, signal);
    if (damage === undefined) continue;
    const isWhole = async (): Promise<boolean> =>
      (await deps.content.stat(digest)) !== undefined && (await damageOf(deps, digest, signal)) === undefined;
    problems.push({ kind: 'blob', subject: digest, problem: damage, isWhole });
    if (repair) await deps.content.delete(digest);
  }
  return count;
}

async function damageOf({ content }: CheckDeps, digest: Digest, signal: AbortSignal): Promise<string | undefined> {
  try {
    for await (const _chunk of await content.open(digest, { signal }));
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DigestMismatchError) return `its bytes have the digest ${error.actual}`;
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 'the disk cannot read it (EIO)';
    throw error;
  }
}

async function checkLayers(
  deps: CheckDeps,
  { quick, signal }: CheckRequest,
  { records: { layers }, problems }: { readonly records: StoreRecords; readonly problems: Problem[] },
): Promise<void> {
  const { snapshots, content, progress } = deps;
  const report = (chainId: ChainId, problem: string): void =>
    void problems.push({ kind: 'layer', subject: chainId, problem, isWhole: () => hasLayer(deps, chainId) });
  const applier = quick ? undefined : await deps.createApplier();
  const bad = new Set(problems.map(({ subject }) => subject));
  /** Comparing takes as much space as the layer. */
  let isFull = false;
  try {
    const unrecorded = await unrecordedLayers(deps);
    for (const chainId of unrecorded) report(chainId, 'it has no record: a process was killed before it was complete');
    const doubtful = madeFrom(layers, unrecorded);
    for (const layer of layers) {
      signal.throwIfAborted();
      const { chainId, parent, blob } = layer;
      if (!(await snapshots.has(chainId))) {
        report(chainId, 'it is missing');
        continue;
      }
      if (deps.metadata.mayBeCut(layer)) {
        report(chainId, 'it was written just before a restart and may be incomplete');
        continue;
      }
      if (doubtful.includes(chainId)) {
        report(chainId, 'it was made from a layer that has no record');
        continue;
      }
      const provable =
        blob !== undefined &&
        !bad.has(blob.digest) &&
        (await content.stat(blob.digest)) !== undefined &&
        (parent === undefined || (await snapshots.has(parent)));
      if (applier === undefined || !provable || isFull) continue;
      try {
        const damage = await checkLayer(deps, applier, { layer, signal });
        if (damage !== undefined) report(chainId, damage);
      } catch (error) {
        if (!isUnwritable(error)) throw error;
        isFull = true;
        progress.note('the store is full or read-only: not all layers were compared with their blobs');
      }
    }
  } finally {
    await applier?.close();
  }
}

async function checkImage(deps: CheckDeps, image: ImageRecord, problems: Problem[]): Promise<void> {
  const { content } = deps;
  const report = (problem: string, isWhole: () => Promise<boolean>): void =>
    void problems.push({ kind: 'image', subject: image.id, problem, isWhole });
  for (const [what, document] of [
    ['manifest', image.manifest],
    ['config', image.config],
    ['index', image.index],
  ] as const) {
    if (document === undefined) continue;
    const { digest } = document;
    const isThere = async (): Promise<boolean> => (await content.stat(digest)) !== undefined;
    if (!(await isThere())) report(`its ${what} ${digest} is missing`, isThere);
  }
  const top = image.chainIds.at(-1);
  if (top !== undefined && !(await hasLayer(deps, top)))
    report(`its top layer ${top} is missing`, () => hasLayer(deps, top));
}
