import { mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openImageArchive } from '../../lib/archive/index.js';
import { createContentStore } from '../../lib/content/index.js';
import { createLayerApplier, packLayer, packTree, recompressLayer } from '../../lib/layer/index.js';
import { createMetadataStore, type ImageRecord } from '../../lib/metadata/index.js';
import { loadImages, type LoadedImage, type LoadRequest } from '../../lib/operations/archives/index.js';
import type { GarbageDeps } from '../../lib/operations/maintain/index.js';
import type { OperationDeps } from '../../lib/operations/index.js';
import { changes, createSnapshotter, openStore } from '../../lib/snapshot/index.js';
import { hostPlatform } from '../../lib/spec/index.js';
import { btrfsDirectory } from './btrfs.js';
import { writeOciLayout, type ImageTable } from './oci-layout.js';

/** The drivers of a store, without those that reach a registry or run commands. */
type StoreDrivers = Omit<OperationDeps, 'registry' | 'runtime' | 'rootfs' | 'content'> & Pick<GarbageDeps, 'content'>;

/** A new store on the shared btrfs, for tests of operations. Goes with the btrfs at the end of the run. */
export interface TestStore {
  readonly root: string;
  readonly deps: StoreDrivers;
  /** Lines given to `progress.note`, oldest first. */
  readonly notes: string[];
  /** What all requests to operations have in common. */
  readonly common: { readonly bootId: string; readonly reserveBytes: number; readonly signal: AbortSignal };
  /** Puts one image into the store as `imgtool load` does, named `tag` (`localhost/a:1`); resolves with its record. */
  add(image: ImageTable): Promise<ImageRecord>;
  /** Loads an archive (a file or a directory). */
  load(source: string, more?: Partial<LoadRequest>): Promise<LoadedImage[]>;
  /** Resolves once `times` notes (default: one) hold `text`. */
  noted(text: string, times?: number): Promise<void>;
  /** Names of the layers' subvolumes, of the blobs, of work in progress and of what waits to be removed, sorted. */
  contents(): Promise<string[]>;
}

const BOOT = 'this boot';
const COMMON: TestStore['common'] = { bootId: BOOT, reserveBytes: 0, signal: new AbortController().signal };

/** Makes an empty store. */
export async function makeTestStore(): Promise<TestStore> {
  const directory = await mkdtemp(join(btrfsDirectory('operations'), 'x-'));
  const { root } = await openStore(join(directory, 'root'), { create: true });
  const notes: string[] = [];
  const listeners = new Set<() => void>();
  const deps: StoreDrivers = {
    content: createContentStore({ root }),
    metadata: createMetadataStore({ root, bootId: BOOT }),
    snapshots: createSnapshotter({ root }),
    createApplier: () => createLayerApplier(),
    compareTrees: changes,
    packLayer,
    packTree,
    recompressLayer,
    progress: {
      event: () => undefined,
      note: (line) => {
        notes.push(line);
        for (const listener of listeners) listener();
      },
    },
  };
  const load: TestStore['load'] = async (source, more = {}) => {
    const archive = await openImageArchive({ source, title: source, temporaryDirectory: root, signal: COMMON.signal });
    try {
      const platform = hostPlatform();
      return await loadImages(deps, { ...COMMON, archive, platform, platformGiven: false, replace: false, ...more });
    } finally {
      await archive.close();
    }
  };
  let layouts = 0;
  return {
    ...{ root, deps, notes, common: COMMON, load },
    add: async (image) => {
      const layout = join(directory, `layout-${(layouts += 1)}`);
      await writeOciLayout(layout, [image]);
      const [loaded] = await load(layout);
      return (await deps.metadata.images.ofImage(loaded!.id)).find(
        ({ manifest }) => manifest.digest === loaded!.digest,
      )!;
    },
    noted: (text, times = 1) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (notes.filter((line) => line.includes(text)).length < times) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        look();
      }),
    contents: async () => {
      const places = ['layers', 'blobs/sha256', 'ingest', 'work', 'trash'];
      const lists = places.map(async (place) => (await readdir(join(root, place))).map((name) => `${place}/${name}`));
      return (await Promise.all(lists)).flat().sort();
    },
  };
}
