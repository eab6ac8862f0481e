import { randomBytes, randomInt } from 'node:crypto';
import { AlreadyExistsError, UsageError } from '../../errors.js';
import type { ContainerRecord } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { compareText, orCloseAll } from '../../util/index.js';
import type { OperationDeps } from '../deps.js';
import { type RestoreDeps, restoreLayers } from '../layers/index.js';
import { findContainer, findImage, LayerSizes, lockStore, readRecords } from '../store/index.js';
import { ADJECTIVES, NOUNS } from './container-names.js';

/** A listed container; `size`: uncompressed tar bytes of the layers it is based on. */
export interface ContainerSummary {
  readonly id: string;
  readonly names: readonly string[];
  /** ID and name of its image; `digest` of the manifest, null if the image has no record. */
  readonly image: Digest;
  readonly imageName: string;
  readonly digest: Digest | null;
  readonly created: string;
  readonly size: number;
  /** Bytes written since its creation, as far as they are on disk. */
  readonly exclusiveSize: number;
  /** True while a command runs in it. */
  readonly running: boolean;
  /** Directory of its files. */
  readonly path: string;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export interface ContainerRequest {
  readonly image: string;
  readonly name: string | undefined;
  readonly signal: AbortSignal;
  /** Receives the ID before anything is created under it. */
  readonly onId?: (id: string) => Promise<void>;
}

/**
 * Creates a container: a writable snapshot of the image's top layer, at a cost independent of its size. Without `name`,
 * it generates one. Throws NotFoundError, AlreadyExistsError (name taken), UsageError, StoreError.
 */
export async function createContainer(deps: RestoreDeps, request: ContainerRequest): Promise<ContainerRecord> {
  const { name, signal } = request;
  if (name !== undefined && !NAME.test(name)) {
    throw new UsageError(`${JSON.stringify(name.slice(0, 200))} is not a container name`, {
      hint: 'use letters, digits, _ . - and begin with a letter or digit',
    });
  }
  const store = await lockStore(deps, { signal });
  try {
    // Prevents two processes from taking the same name.
    const names = await deps.metadata.lock('container-names', { mode: 'exclusive', signal });
    try {
      return await create(deps, request);
    } finally {
      names.release();
    }
  } finally {
    store.release();
  }
}

/** Lists the containers of the store, newest first, without waiting for a lock. */
export async function listContainers(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'runtime'>,
): Promise<ContainerSummary[]> {
  const [{ images, layers, containers }, running] = await Promise.all([readRecords(deps), deps.runtime.list()]);
  const sizes = new LayerSizes(layers, images);
  const list: ContainerSummary[] = [];
  for (const container of containers)
    list.push({
      id: container.id,
      names: [container.name],
      image: container.image,
      imageName: container.imageName,
      digest: images.find(({ id }) => id === container.image)?.manifest.digest ?? null,
      created: container.created,
      size: sizes.below(container.base),
      exclusiveSize: await deps.snapshots.writtenBytes(container.id),
      running: running.includes(container.id),
      path: deps.snapshots.containerPath(container.id),
    });
  return list.sort((a, b) => compareText(b.created, a.created) || compareText(a.id, b.id));
}

/** Returns the directory of a container's files, ready for use. Throws NotFoundError, UsageError. */
export async function containerPath(
  deps: Pick<OperationDeps, 'metadata' | 'snapshots'>,
  container: string,
): Promise<string> {
  return deps.snapshots.containerPath((await findContainer(deps, container)).id);
}

async function create(deps: RestoreDeps, { image, name, signal, onId }: ContainerRequest): Promise<ContainerRecord> {
  const found = await findImage(deps, image);
  const taken = new Set((await deps.metadata.containers.list()).map((container) => container.name));
  if (name !== undefined && taken.has(name)) {
    throw new AlreadyExistsError(`there is a container ${name} already`, {
      kind: 'container',
      subject: name,
      hint: 'choose another name, or remove that one with "imgtool rm"',
    });
  }
  const base = found.record.chainIds.at(-1);
  await restoreLayers(deps, found.record, { signal });
  const id = randomBytes(32).toString('hex');
  const lock = await deps.metadata.lock(`container-${id}`, { mode: 'exclusive', signal });
  try {
    await onId?.(id);
    await deps.snapshots.createContainer(id, base);
    // Creating a snapshot commits it to disk at once; creating an empty subvolume does not.
    if (base === undefined) await deps.snapshots.sync();
    const record: ContainerRecord = {
      version: 1,
      id,
      name: name ?? freeName(taken),
      image: found.record.id,
      imageName: found.name ?? found.record.names[0] ?? found.record.id,
      ...(base === undefined ? {} : { base }),
      created: new Date().toISOString(),
    };
    await orCloseAll(() => deps.metadata.containers.put(id, record), [() => deps.snapshots.removeContainer(id)]);
    return record;
  } finally {
    lock.release();
  }
}

function freeName(taken: ReadonlySet<string>): string {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const name = `${ADJECTIVES[randomInt(ADJECTIVES.length)]}_${NOUNS[randomInt(NOUNS.length)]}`;
    if (!taken.has(name)) return name;
  }
  return `box_${randomBytes(8).toString('hex')}`;
}
