import { readSync } from 'node:fs';
import { LayerFormatError } from '../../errors.js';
import type { FileContent, OpenContent, TreeNode } from '../../rootfs/index.js';
import { displayPath } from '../../sys/index.js';
import { isPortable } from '../pack-tree.js';
import { TarBlocks } from '../tar-blocks.js';
import { encodeHeader, paddingOf, TAR_BLOCK, type TarEntry } from '../tar/writer.js';
import { WHITEOUT_PREFIX } from '../whiteout.js';

/** One member of a layer to write, in layer order. Paths have one char per byte. */
export type PlannedMember =
  | { readonly kind: 'whiteout'; readonly path: string }
  | {
      readonly kind: 'entry';
      readonly path: string;
      readonly node: TreeNode;
      readonly content?: FileContent | undefined;
      readonly changed: boolean;
    };

const SECOND = 1_000_000_000n;

interface PackerOptions {
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Upper limit for the modification times of changed members. Seconds since 1970. */
  readonly sourceDateEpoch?: number;
}

/** Converts planned members into blocks of tar. */
export class MemberPacker {
  readonly blocks: TarBlocks;
  entries = 0;
  readonly #sourceDateEpoch: number | undefined;
  /** The first path of each file with several names. */
  readonly #links = new Map<string, Buffer>();

  constructor({ compression, sourceDateEpoch }: PackerOptions) {
    this.blocks = new TarBlocks(compression);
    this.#sourceDateEpoch = sourceDateEpoch;
  }

  async *run(plan: AsyncGenerator<PlannedMember>): AsyncGenerator<Buffer> {
    for await (const planned of plan) {
      checkName(planned.path);
      this.entries += 1;
      if (planned.kind === 'whiteout') yield* this.blocks.write(whiteout(planned.path));
      else yield* this.#entry(planned);
    }
    yield* this.blocks.write(Buffer.alloc(2 * TAR_BLOCK));
    yield* this.blocks.end();
  }

  async *#entry(planned: PlannedMember & { readonly kind: 'entry' }): AsyncGenerator<Buffer> {
    const head = this.#describe(planned);
    yield* this.blocks.write(encodeHeader(head));
    if (head.type !== '0' || head.size === 0) return;
    const content = await planned.content!.open();
    try {
      yield* this.#content(content, planned.path);
      content.check?.();
    } finally {
      content.close();
    }
    yield* this.blocks.write(Buffer.alloc(paddingOf(head.size)));
  }

  *#content({ fd, offset, size, regions = [0, size] }: OpenContent, path: string): Generator<Buffer> {
    let from = offset;
    let at = 0;
    for (let index = 0; index < regions.length; index += 2) {
      yield* this.blocks.zeros(regions[index]! - at);
      at = regions[index]!;
      for (const end = at + regions[index + 1]!; at < end;) {
        const room = this.blocks.room(end - at);
        const length = readSync(fd, room, 0, room.length, from);
        if (length === 0) throw changedError(path);
        yield* this.blocks.filled(length);
        [at, from] = [at + length, from + length];
      }
    }
    yield* this.blocks.zeros(size - at);
  }

  #describe({ path, node, changed }: PlannedMember & { readonly kind: 'entry' }): TarEntry {
    const { type, mode, uid, gid, mtimeNs, linkKey } = node;
    const bytes = Buffer.from(path === '' ? '.' : path, 'latin1');
    const newest = this.#sourceDateEpoch === undefined || !changed ? mtimeNs : BigInt(this.#sourceDateEpoch) * SECOND;
    const base = {
      name: type === 'directory' ? Buffer.concat([bytes, Buffer.from('/')]) : bytes,
      mode: type === 'symlink' ? 0o777 : mode,
      ...{ uid, gid, size: 0, mtimeNs: mtimeNs < newest ? mtimeNs : newest },
    };
    if (linkKey !== undefined) {
      const first = this.#links.get(linkKey);
      if (first !== undefined) return { ...base, type: '1', linkName: first };
      this.#links.set(linkKey, bytes);
    }
    const portable = [...node.xattrs].filter(([name]) => isPortable(name));
    const xattrs = portable.map(([name, value]) => ({ name: Buffer.from(name, 'latin1'), value }));
    const full = { ...base, ...(xattrs.length === 0 ? {} : { xattrs }) };
    const { major = 0, minor = 0 } = node.device ?? {};
    switch (type) {
      case 'file':
        return { ...full, type: '0', size: node.size };
      case 'symlink':
        return { ...full, type: '2', linkName: Buffer.from(node.target ?? '', 'latin1') };
      case 'directory':
        return { ...full, type: '5' };
      case 'fifo':
        return { ...full, type: '6' };
      case 'character-device':
      case 'block-device':
        return { ...full, type: type === 'block-device' ? '4' : '3', major, minor };
      default:
        throw new LayerFormatError(`/${display(path)} is a ${type}, which a tar cannot contain`, {
          entry: display(path),
        });
    }
  }
}

function whiteout(path: string): Buffer {
  const slash = path.lastIndexOf('/') + 1;
  const name = Buffer.from(`${path.slice(0, slash)}${WHITEOUT_PREFIX}${path.slice(slash)}`, 'latin1');
  return encodeHeader({ name, type: '0', mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n });
}

function checkName(path: string): void {
  if (!path.slice(path.lastIndexOf('/') + 1).startsWith(WHITEOUT_PREFIX)) return;
  throw new LayerFormatError(`names that begin with ${WHITEOUT_PREFIX} cannot be stored in a layer: ${display(path)}`, {
    entry: display(path),
    hint: 'rename or remove them and try again',
  });
}

function changedError(path: string): LayerFormatError {
  return new LayerFormatError(`${display(path)} changed while it was read`, { entry: display(path) });
}

function display(path: string): string {
  return displayPath(Buffer.from(path, 'latin1'));
}
