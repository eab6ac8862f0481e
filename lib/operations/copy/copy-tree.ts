import type { ProgressSink } from '../../progress/index.js';
import type { RegistryClient } from '../../registry/index.js';
import type { Descriptor, Digest, ImageDestination, ImageSource, RawManifest } from '../../spec/index.js';
import { KeyedMutex, mapLimited, Semaphore } from '../../util/index.js';
import { type ConvertImageDeps, type ManifestNode, walkManifests } from '../convert/index.js';
import { type CopiedState, copyBlob, withForeignBlobs } from './copy-blob.js';

/** The limits that concurrent copies share: the number of concurrent blobs, and one copy at a time per blob. */
export class CopyLimits {
  readonly blobs: Semaphore;
  readonly perBlob = new KeyedMutex();

  /** `parallel`: the number of concurrent blobs. */
  constructor(parallel: number) {
    this.blobs = new Semaphore(parallel);
  }
}

/** A destination with the tags to set. Without tags, the manifest is put by digest only. */
export interface CopyTarget {
  readonly destination: ImageDestination;
  readonly tags: readonly string[];
}

/** A blob of the result. Size in bytes. */
export interface CopiedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly state: CopiedState;
}

/** The result for one target. */
export interface CopiedTarget {
  readonly name: string;
  readonly tags: readonly string[];
  readonly blobs: readonly CopiedBlob[];
  /** Number of manifests put, including referrers. */
  readonly manifests: number;
  readonly error?: Error;
}

/** The dependencies of copying, besides source and targets. */
export interface CopyDeps {
  readonly progress: ProgressSink;
  readonly limits: CopyLimits;
  /** Required for conversions. */
  readonly convert?: ConvertImageDeps | undefined;
  /** Required for non-distributable layers that the source lacks. */
  readonly foreignBlob?: RegistryClient['foreignBlob'];
  /** The action of progress events. Default: `upload`. */
  readonly action?: 'upload' | 'save';
}

const PARALLEL_MANIFESTS = 6;

/** The state of one target during a copy. */
export class TargetCopy {
  readonly target: CopyTarget;
  readonly #blobs = new Map<Digest, CopiedBlob>();
  /** Manifests that the target has. */
  readonly #there = new Set<Digest>();
  #manifests = 0;
  error: Error | undefined;

  constructor(target: CopyTarget) {
    this.target = target;
  }

  /** True when the target is known to have the manifest. */
  has({ digest }: Descriptor): boolean {
    return this.#there.has(digest);
  }

  /** Queries the target for the manifest unless it is known to have it. */
  async find(manifest: Descriptor, signal: AbortSignal): Promise<boolean> {
    if (this.has(manifest)) return true;
    const there = await this.target.destination.hasManifest(manifest, { signal });
    if (there) this.#there.add(manifest.digest);
    return there;
  }

  async putManifest(raw: RawManifest, tag: string | undefined, signal: AbortSignal): Promise<void> {
    await this.target.destination.putManifest(raw, { tag }, { signal });
    this.#there.add(raw.descriptor.digest);
    this.#manifests++;
  }

  took({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, state: CopiedState): void {
    this.#blobs.set(digest, { digest, size, state });
  }

  /** Finishes the copy after everything has been put. */
  async commit(untagged: RawManifest | undefined, signal: AbortSignal): Promise<void> {
    const present = await this.target.destination.commit({ signal, untagged });
    for (const digest of present ?? []) {
      const blob = this.#blobs.get(digest);
      if (blob !== undefined) this.took(blob, 'present');
    }
  }

  result(): CopiedTarget {
    const { destination, tags } = this.target;
    const blobs = [...this.#blobs.values()];
    const error = this.error === undefined ? {} : { error: this.error };
    return { name: destination.name, tags, blobs, manifests: this.#manifests, ...error };
  }
}

/** Copies the blobs and manifests below `top`, but not `top` itself. */
export async function copyTree(
  deps: CopyDeps,
  job: {
    readonly source: ImageSource;
    readonly top: RawManifest;
    readonly copies: readonly TargetCopy[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { source, top, copies, signal } = job;
  const isThere = async (manifest: Descriptor): Promise<boolean> => {
    await eachTarget(copies, signal, async (_target, copy) => void (await copy.find(manifest, signal)));
    return working(copies).every((copy) => copy.has(manifest));
  };
  const [only] = copies;
  if (only !== undefined && copies.length === 1 && only.target.destination.takeImage !== undefined)
    return takeImage(deps, { source, top, copy: only, signal });
  await isThere(top.descriptor);
  const nodes = await walkManifests(source, top, { isThere, signal });
  await copyBlobs(deps, { source, nodes, copies, signal });
  for (const kind of ['manifest', 'index'] as const) {
    const ready = nodes.filter((node) => node.kind === kind && node.raw !== top);
    await eachTarget(copies, signal, async (_target, copy) => {
      const missing = ready.filter(({ raw }) => !copy.has(raw.descriptor));
      // An index may name other indexes, so the order matters.
      await mapLimited(missing, kind === 'index' ? 1 : PARALLEL_MANIFESTS, ({ raw }) =>
        copy.putManifest(raw, undefined, signal),
      );
    });
  }
}

/** Lets the destination take the whole image. */
async function takeImage(
  { foreignBlob }: CopyDeps,
  job: {
    readonly source: ImageSource;
    readonly top: RawManifest;
    readonly copy: TargetCopy;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { source, top, copy, signal } = job;
  await eachTarget([copy], signal, async ({ destination }) => {
    const taken = await destination.takeImage!(withForeignBlobs(source, foreignBlob), top, { signal });
    for (const blob of taken) copy.took(blob, blob.state === 'fetched' ? 'uploaded' : 'present');
  });
}

async function copyBlobs(
  { progress, limits, foreignBlob, action }: CopyDeps,
  job: {
    readonly source: ImageSource;
    readonly nodes: readonly ManifestNode[];
    readonly copies: readonly TargetCopy[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { source, copies } = job;
  const failure = new AbortController();
  const signal = AbortSignal.any([job.signal, failure.signal]);
  const wanted = new Map<Digest, { blob: Descriptor; copies: Set<TargetCopy> }>();
  for (const { raw, blobs } of job.nodes) {
    for (const blob of blobs) {
      const entry = wanted.get(blob.digest) ?? { blob, copies: new Set() };
      wanted.set(blob.digest, entry);
      for (const copy of copies) if (copy.has(raw.descriptor)) copy.took(blob, 'present');
      for (const copy of copies) if (!copy.has(raw.descriptor)) entry.copies.add(copy);
    }
  }
  const parallel = Math.min(...copies.map(({ target }) => target.destination.parallelBlobs), wanted.size);
  // After the first failure, aborts the other blobs and waits for them before throwing.
  let first: unknown;
  await mapLimited([...wanted.values()], parallel, async ({ blob, copies: takers }) => {
    if (failure.signal.aborted) return;
    try {
      await limits.perBlob.run(blob.digest, () =>
        limits.blobs.run(async () => {
          const open = working([...takers]);
          const destinations = open.map(({ target }) => target.destination);
          if (open.length === 0) return;
          const outcome = await copyBlob(blob, { source, destinations, progress, foreignBlob, action, signal });
          for (const copy of open) {
            const state = outcome.get(copy.target.destination)!;
            if (state instanceof Error) copy.error ??= state;
            else copy.took(blob, state);
          }
          if (working(copies).length === 0) throw copies[0]!.error!;
        }),
      );
    } catch (error) {
      first ??= error;
      failure.abort(error);
    }
  });
  if (first !== undefined) throw first as Error;
}

/**
 * Runs `work` concurrently on all targets that have not failed, and records failures. Throws AbortError, and the first
 * target's error when all have failed.
 */
export async function eachTarget(
  copies: readonly TargetCopy[],
  signal: AbortSignal,
  work: (target: CopyTarget, copy: TargetCopy) => Promise<void>,
): Promise<void> {
  await Promise.all(
    working(copies).map(async (copy) => {
      try {
        await work(copy.target, copy);
      } catch (error) {
        signal.throwIfAborted();
        copy.error = error as Error;
      }
    }),
  );
  if (copies.length > 0 && working(copies).length === 0) throw copies[0]!.error!;
}

function working(copies: readonly TargetCopy[]): TargetCopy[] {
  return copies.filter(({ error }) => error === undefined);
}
