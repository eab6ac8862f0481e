import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { GarbageDeps, OperationDeps } from '../operations/index.js';
import type { SnapshotOrigin, StoreRoot } from '../snapshot/index.js';
import type { Settings } from './settings.js';

/** Drivers that work on the local store. */
export type LocalDeps = Omit<OperationDeps, 'registry' | 'content'> & Pick<GarbageDeps, 'content'>;

/** Creates the drivers of a store; those that few operations need are loaded on first use. */
export async function localDrivers(
  { root, pool }: StoreRoot,
  { progress }: Settings,
  fullName: (name: string) => Promise<string>,
): Promise<LocalDeps> {
  const [{ createContentStore }, { createMetadataStore }, { createSnapshotter }] = await Promise.all([
    import('../content/index.js'),
    import('../metadata/index.js'),
    import('../snapshot/index.js'),
  ]);
  const metadata = createMetadataStore({
    root,
    onWait: (path) => progress.note(`waiting for another process that holds the lock ${path}`),
  });
  const isLocked = async (name: string): Promise<boolean> => {
    const lock = await metadata.tryLock(name, 'exclusive');
    lock?.release();
    return lock === undefined;
  };
  const recordedOrigins = async (): Promise<SnapshotOrigin[]> =>
    [...(await metadata.layers.list()), ...(await metadata.steps.list())].flatMap(({ origin }) => origin ?? []);
  return {
    content: createContentStore({ root }),
    metadata,
    snapshots: createSnapshotter({
      root,
      ...(pool !== undefined && 'file' in pool ? { poolFile: pool.file } : {}),
      isAlive: (key) => isLocked(`work-${key}`),
      isContainer: async (id) =>
        (await isLocked(`container-${id}`)) || (await metadata.containers.get(id)) !== undefined,
    }),
    createApplier: async () => (await import('../layer/index.js')).createLayerApplier(),
    compareTrees: async (input) => (await import('../snapshot/index.js')).changes({ ...input, recordedOrigins }),
    rootfs: {
      copyPath: async (input) => (await import('../rootfs/index.js')).copyPath(input),
      locatePath: async (place, how) => (await import('../rootfs/index.js')).locatePath(place, how),
      realPath: async (...args) => (await import('../rootfs/index.js')).realPathInRoot(...args),
      makeDirectories: async (...args) => (await import('../rootfs/index.js')).makeDirectories(...args),
    },
    runtime: lazyRuntime(join(root, 'run'), (line) => progress.note(line)),
    packLayer: async (input) => (await import('../layer/index.js')).packLayer(input),
    packTree: async (input) => (await import('../layer/index.js')).packTree(input),
    recompressLayer: async (input) => (await import('../layer/index.js')).recompressLayer(input),
    progress,
    fullName,
  };
}

/** Loads the runtime on first use. */
function lazyRuntime(directory: string, onNote: (line: string) => void): OperationDeps['runtime'] {
  const load = async (): Promise<OperationDeps['runtime']> => {
    const { createContainerRuntime } = await import('../runtime/index.js');
    return createContainerRuntime({ directory, onNote });
  };
  return {
    begin: async (...args) => (await load()).begin(...args),
    run: async (...args) => (await load()).run(...args),
    kill: async (...args) => (await load()).kill(...args),
    findUser: async (...args) => (await load()).findUser(...args),
    settle: async (...args) => (await load()).settle(...args),
    // Most stores have never run a command.
    list: async () => (existsSync(directory) ? (await load()).list() : []),
    mountPoints: async (id) => (existsSync(join(directory, id)) ? (await load()).mountPoints(id) : undefined),
    removeMountPoints: async (...args) => (await load()).removeMountPoints(...args),
  };
}
