import { DigestMismatchError, ImgtoolError, findCause, systemErrorName } from '../errors.js';
import type { ImageRecord, LayerRecord } from '../metadata/index.js';
import type { RegistryClient } from '../registry/index.js';
import { digestHex, type ChainId, type Descriptor, type Digest } from '../spec/index.js';
import { BlobPlaces, parseSource } from './blob-places.js';
import { checkLayer, type CheckLayerDeps } from './check-layer.js';
import { fetchFromPlaces, fromFirstPlace } from './fetch-from-places.js';
import { readRecords } from './layer-sizes.js';
import { restoreLayers, type RestoreDeps } from './restore-layers.js';
import { sweepStore } from './sweep-store.js';

/** What checking needs. */
export type CheckDeps = CheckLayerDeps & RestoreDeps & { readonly openRegistry: () => Promise<RegistryClient> };

/** How to check. */
export interface CheckRequest {
  /** Records and presence only; nothing is read or unpacked. */
  readonly quick: boolean;
  /** Removes what is bad and brings it back: from its blob, or from a registry that has it. */
  readonly repair: boolean;
  readonly bootId: string;
  readonly signal: AbortSignal;
}

/** One thing that is not as it should be. */
export interface Finding {
  readonly kind: 'blob' | 'layer' | 'image';
  /** Digest, chainID or image ID. */
  readonly subject: string;
  readonly problem: string;
  readonly repaired: boolean;
}

/** What was looked at, and what is wrong. */
export interface StoreCheck {
  readonly blobs: number;
  readonly layers: number;
  readonly images: number;
  readonly findings: readonly Finding[];
}

/** What is bad, and whether it is still so. */
interface Problem extends Omit<Finding, 'repaired'> {
  readonly isMended: () => Promise<boolean>;
}

/**
 * Proves what the store holds: each blob by its digest, each layer by unpacking its blob again, each image by what it refers
 * to. To repair it waits until no other process works in the store. Containers keep the files they have. Throws StoreError,
 * SyscallError, DiskSpaceError, AbortError.
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
    const { images, layers } = await readRecords(deps);
    await checkLayers(deps, request, { layers, problems });
    for (const image of images) await checkImage(deps, image, problems);
    if (repair && problems.length > 0) await mend(deps, request, { images, layers, problems });
    const findings: Finding[] = [];
    for (const { kind, subject, problem, isMended } of problems)
      findings.push({ kind, subject, problem, repaired: repair && (await isMended()) });
    return { blobs, layers: layers.length, images: images.length, findings };
  } finally {
    store.release();
  }
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
    const isMended = async (): Promise<boolean> =>
      (await deps.content.stat(digest)) === undefined || (await damageOf(deps, digest, signal)) === undefined;
    problems.push({ kind: 'blob', subject: digest, problem: damage, isMended });
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
  { layers, problems }: { readonly layers: readonly LayerRecord[]; readonly problems: Problem[] },
): Promise<void> {
  const { snapshots, content, progress } = deps;
  const applier = quick ? undefined : await deps.createApplier();
  const bad = new Set(problems.map(({ subject }) => subject));
  try {
    for (const layer of layers) {
      signal.throwIfAborted();
      const { chainId, parent, blob } = layer;
      const report = (problem: string): void =>
        void problems.push({ kind: 'layer', subject: chainId, problem, isMended: () => snapshots.has(chainId) });
      if (!(await snapshots.has(chainId))) {
        report('it is missing');
        continue;
      }
      const provable =
        blob !== undefined &&
        !bad.has(blob.digest) &&
        (await content.stat(blob.digest)) !== undefined &&
        (parent === undefined || (await snapshots.has(parent)));
      let damage: string | undefined;
      try {
        if (applier !== undefined && provable) damage = await checkLayer(deps, applier, { layer, signal });
      } catch (error) {
        if (findCause(error, (cause) => systemErrorName(cause) === 'EROFS') === undefined) throw error;
        progress.note('the store is read-only: layers are not compared with their blobs');
        return;
      }
      if (damage !== undefined) report(damage);
    }
  } finally {
    await applier?.close();
  }
}

async function checkImage({ content, snapshots }: CheckDeps, image: ImageRecord, problems: Problem[]): Promise<void> {
  const report = (problem: string, isMended: () => Promise<boolean>): void =>
    void problems.push({ kind: 'image', subject: image.id, problem, isMended });
  for (const [what, { digest }] of [
    ['manifest', image.manifest],
    ['config', image.config],
  ] as const) {
    const isThere = async (): Promise<boolean> => (await content.stat(digest)) !== undefined;
    if (!(await isThere())) report(`its ${what} ${digest} is missing`, isThere);
  }
  const top = image.chainIds.at(-1);
  if (top !== undefined && !(await snapshots.has(top)))
    report(`its top layer ${top} is missing`, () => snapshots.has(top));
}

/** Removes bad layers with all that stand on them, and brings back what images need. */
async function mend(
  deps: CheckDeps,
  request: CheckRequest,
  found: {
    readonly images: readonly ImageRecord[];
    readonly layers: readonly LayerRecord[];
    readonly problems: readonly Problem[];
  },
): Promise<void> {
  const { images, layers, problems } = found;
  const bad = new Set(problems.flatMap(({ kind, subject }) => (kind === 'layer' ? [subject as ChainId] : [])));
  // What stands on a bad layer is a snapshot of it, and as bad.
  for (let before = -1; before !== bad.size;) {
    before = bad.size;
    for (const { chainId, parent } of layers) if (parent !== undefined && bad.has(parent)) bad.add(chainId);
  }
  for (const chainId of bad) {
    await deps.metadata.layers.delete(digestHex(chainId));
    await deps.snapshots.removeLayer(chainId);
  }
  const places = new BlobPlaces(images);
  const badBlobs = new Set(problems.flatMap(({ kind, subject }) => (kind === 'blob' ? [subject] : [])));
  for (const image of images) {
    request.signal.throwIfAborted();
    try {
      await bringBack(deps, image, { places, badBlobs, request });
    } catch (error) {
      request.signal.throwIfAborted();
      if (!(error instanceof ImgtoolError)) throw error;
      deps.progress.note(`image ${image.names[0] ?? image.id}: ${error.message}`);
    }
  }
}

async function bringBack(
  deps: CheckDeps,
  image: ImageRecord,
  {
    places,
    badBlobs,
    request,
  }: { readonly places: BlobPlaces; readonly badBlobs: ReadonlySet<string>; readonly request: CheckRequest },
): Promise<void> {
  const { content, snapshots } = deps;
  const { signal } = request;
  const fetch = async (blob: Descriptor): Promise<void> => {
    if ((await content.stat(blob.digest)) === undefined) await fetchFromPlaces(deps, blob, { places, signal });
  };
  await fetch(image.config);
  if ((await content.stat(image.manifest.digest)) === undefined) await fetchManifest(deps, image, signal);
  for (const [position, blob] of image.layers.entries())
    if (badBlobs.has(blob.digest) || !(await snapshots.has(image.chainIds[position]!))) await fetch(blob);
  await restoreLayers(deps, image, request);
}

async function fetchManifest(deps: CheckDeps, { sources, manifest }: ImageRecord, signal: AbortSignal): Promise<void> {
  const { digest } = manifest;
  const places = sources.flatMap((source) => (source.endsWith(`@${digest}`) ? (parseSource(source) ?? []) : []));
  await fromFirstPlace(places, async (place) => {
    const repository = await (await deps.openRegistry()).open(place, { signal });
    const { bytes } = await repository.manifest({ digest }, { signal });
    await deps.content.put(bytes, digest);
  });
}
