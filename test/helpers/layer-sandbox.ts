import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createLayerApplier, type AppliedLayer, type LayerApplier, type LayerInput } from '../../lib/layer/index.js';
import { GrowingFile } from '../../lib/util/index.js';
import { writeTar, type TarEntry } from './tar-writer.js';
import { expectSameTree, listTree, type TreeEntry } from './tree-listing.js';

/** A layer to unpack: a table of entries, or the bytes of a blob. */
export type TestLayer = readonly TarEntry[] | Buffer;

/**
 * A root to unpack layers onto, beside things that no layer may reach: `outside/secret`, `outside/dir/inner`, and a
 * sibling of the root whose name begins like the root's.
 */
export class LayerSandbox {
  readonly base: string;
  readonly root: string;
  readonly outside: string;
  readonly #applier: LayerApplier;
  #before: Map<string, TreeEntry>;

  /** `parent`: where to make the sandbox, default the system's temporary directory. */
  constructor(applier: LayerApplier, parent: string = tmpdir()) {
    this.#applier = applier;
    this.base = mkdtempSync(join(parent, 'imgtool-layer-'));
    this.root = join(this.base, 'root');
    this.outside = join(this.base, 'outside');
    mkdirSync(this.root, { mode: 0o755 });
    mkdirSync(join(this.outside, 'dir'), { recursive: true });
    mkdirSync(join(this.base, 'root-b'));
    for (const file of ['outside/secret', 'outside/dir/inner', 'root-b/file'])
      writeFileSync(join(this.base, file), `${file} must not change`);
    mkdirSync(join(this.base, 'blobs'));
    this.#before = this.#surroundings();
  }

  /** Unpacks layers one on the other; what the last one gave. */
  async apply(...layers: readonly TestLayer[]): Promise<AppliedLayer> {
    let last: AppliedLayer | undefined;
    for (const layer of layers) last = await this.applyBlob(Buffer.isBuffer(layer) ? layer : writeTar(layer));
    return last!;
  }

  /** Unpacks one blob, complete unless `options` says otherwise. */
  async applyBlob(blob: Buffer, options: Partial<LayerInput> = {}): Promise<AppliedLayer> {
    const file = join(this.base, 'blobs/layer');
    writeFileSync(file, blob);
    const fd = openSync(file, 'r');
    try {
      const growing = GrowingFile.complete(blob.length);
      const signal = new AbortController().signal;
      return await this.#applier.apply({ fd, growing, size: blob.length, root: this.root, signal, ...options });
    } finally {
      closeSync(fd);
      rmSync(file);
    }
  }

  /**
   * The tree in short, sorted: `dir/`, `file = content`, `link -> target`, `name == first name` of a hard link,
   * `name (fifo)`.
   */
  tree(): string[] {
    const entries = [...listTree(this.root, { withoutRoot: true, content: false }).values()];
    return entries.map(({ path, type, target, linkGroup }) => {
      if (linkGroup !== undefined && linkGroup !== path) return `${path} == ${linkGroup}`;
      if (type === 'dir') return `${path}/`;
      if (type === 'link') return `${path} -> ${target}`;
      if (type !== 'file') return `${path} (${type})`;
      const content = readFileSync(
        Buffer.concat([Buffer.from(`${this.root}/`), Buffer.from(path, 'latin1')]),
        'latin1',
      );
      return `${path} = ${content.length > 80 ? `${content.length} bytes` : content}`;
    });
  }

  /** Throws unless everything around the root is as it was, in content, attributes and times. */
  expectOutsideUnchanged(): void {
    expectSameTree(this.#before, this.#surroundings());
  }

  remove(): void {
    try {
      rmSync(this.base, { recursive: true });
    } catch (error) {
      // Node cannot remove paths longer than the kernel takes at once.
      if ((error as NodeJS.ErrnoException).code !== 'ENAMETOOLONG') throw error;
      execFileSync('rm', ['-rf', this.base]);
    }
  }

  #surroundings(): Map<string, TreeEntry> {
    const inside = /^(root|blobs)(\/|$)/;
    return new Map([...listTree(this.base)].filter(([path]) => !inside.test(path)));
  }
}

/** What `useLayerSandbox` gives: the applier of the suite, the sandbox of the test. */
export interface SandboxInUse {
  readonly applier: LayerApplier;
  readonly sandbox: LayerSandbox;
}

/** Both places where an applier unpacks a small layer. */
export const APPLIERS = {
  'in threads': () => createLayerApplier({ threadsOnly: true }),
  'in the calling thread': () => createLayerApplier(),
} as const;

/** Options of `useLayerSandbox`. */
export interface UseLayerSandboxOptions {
  /** Default: an applier that uses threads for all layers. */
  readonly applier?: () => LayerApplier;
  /** Asked for a directory on the shared btrfs that sandboxes are made in. Default the system's temporary directory. */
  readonly parent?: () => string;
}

/**
 * For a `describe`: an applier, and a fresh sandbox for each test, which must end with nothing changed outside of the
 * root and no descriptor more than it began with.
 */
export function useLayerSandbox(options: UseLayerSandboxOptions = {}): SandboxInUse {
  let applier: LayerApplier;
  let sandbox: LayerSandbox;
  let descriptors: number;
  before(async () => {
    applier = (options.applier ?? APPLIERS['in threads'])();
    // Threads and libraries are there after the first layer that needs them: one with a whiteout.
    const first = new LayerSandbox(applier);
    await first.apply([{ path: '.wh.x' }, { path: 'y' }]);
    first.remove();
  });
  beforeEach(() => {
    sandbox = new LayerSandbox(applier, options.parent?.());
    descriptors = openDescriptors().length;
  });
  afterEach(async () => {
    sandbox.expectOutsideUnchanged();
    // What is on the shared btrfs goes with it, in no time.
    if (options.parent === undefined) sandbox.remove();
    // Threads and pipes that have ended give their descriptors back a little later.
    for (let wait = 0; openDescriptors().length > descriptors && wait < 1500; wait += 1) await delay(20);
    const left = openDescriptors();
    if (left.length > descriptors)
      throw new Error(`${left.length - descriptors} descriptors more are open than before, of ${left.join(' ')}`);
  });
  after(() => applier.close());
  return {
    get applier() {
      return applier;
    },
    get sandbox() {
      return sandbox;
    },
  };
}

/** What the descriptors of this process lead to; /dev/null, which node opens for itself, left out. */
function openDescriptors(): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '/dev/null';
    }
  });
  return targets.filter((target) => target !== '/dev/null');
}
