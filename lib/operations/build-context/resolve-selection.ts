import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { Readable } from 'node:stream';
import {
  inInstruction,
  instructionError,
  parseMode,
  type AddInstruction,
  type ModeChange,
} from '../../dockerfile/index.js';
import type { FileTree, OpenContent } from '../../rootfs/index.js';
import { COMPRESSION_HEAD_BYTES, compressionOfBytes, digestFrom, type Digest } from '../../spec/index.js';
import { checkChecksum, cloneRepository, download, gitSource, isUrl, nameOfUrl, parseUrl } from './add-sources.js';
import type { ContentHashes } from './content-hashes.js';
import { addFields, hashItems } from './digest-selection.js';
import { treePath } from './follow-path.js';
import { bytesOf, openTar } from './open-tar.js';
import { findOwner } from './owner.js';
import { selectFiles, type SelectedItem } from './select-files.js';
import { Spool, SpooledTree } from './spool.js';
import type { BuildContextDeps, Selection, SelectionRequest, SelectionTarget } from './types.js';
import { namesDirectory, writeItems } from './write-items.js';

export interface ResolveOptions {
  readonly hashes: ContentHashes;
  /** Directory for temporary files. */
  readonly spoolDirectory: string;
  /** Receives temporary directories to remove when the build ends. */
  readonly onDirectory: (directory: string) => void;
}

const FILE_MODE = 0o644;
const DOWNLOAD_MODE = 0o600;

/**
 * Finds the files of a COPY or ADD, and fetches URLs and repositories. The caller closes the result. Throws
 * DockerfileError (a missing source, an invalid flag) and the errors of fetching.
 */
export async function resolveSelection(
  deps: BuildContextDeps,
  request: SelectionRequest,
  options: ResolveOptions,
): Promise<Selection> {
  const selection = new ResolvedSelection(deps, request, options);
  try {
    await selection.resolve();
    return selection;
  } catch (error) {
    await selection.close();
    throw error;
  }
}

class ResolvedSelection implements Selection {
  readonly #deps: BuildContextDeps;
  readonly #request: SelectionRequest;
  readonly #options: ResolveOptions;
  readonly #spool: Spool;
  readonly #chmod: ModeChange | undefined;
  readonly #items: SelectedItem[] = [];
  readonly #opened: { close(): void }[] = [];
  #digest: Promise<{ readonly digest: Digest; readonly stamps: string }> | undefined;

  constructor(deps: BuildContextDeps, request: SelectionRequest, options: ResolveOptions) {
    this.#deps = deps;
    this.#request = request;
    this.#options = options;
    this.#spool = new Spool(options.spoolDirectory);
    const { chmod } = request.instruction;
    this.#chmod = chmod === undefined ? undefined : inInstruction(request.instruction, () => parseMode(chmod));
  }

  async resolve(): Promise<void> {
    const { instruction } = this.#request;
    const { sources, heredocs, destination } = instruction;
    if (sources.length + heredocs.length > 1 && !namesDirectory(destination)) {
      throw instructionError(
        instruction,
        `with several sources the destination has to be a directory, and ${destination} does not end in /`,
        `write ${destination}/`,
      );
    }
    const add = instruction.keyword === 'ADD' ? instruction : undefined;
    if (add !== undefined) checkChecksum(add);
    for (const source of sources) {
      if (add !== undefined && isUrl(source)) await this.#addUrl(add, source);
      else if (add !== undefined && gitSource(source) !== undefined) await this.#addRepository(add, source);
      else await this.#addFiles(source);
    }
    for (const { name, body } of heredocs) {
      const file = await this.#spool.take(Readable.from([Buffer.from(body)]), this.#request.signal);
      this.#addItem(treePath(name), new SpooledTree(treePath(name), { mode: FILE_MODE, mtimeNs: this.#nowNs }, file));
    }
  }

  async digest(): Promise<Digest> {
    return (await this.#hashed()).digest;
  }

  async writeTo({ tree, createdNs, signal }: SelectionTarget): Promise<void> {
    const { instruction, workdir, sourceDateEpoch } = this.#request;
    const { chown } = instruction;
    // Limits times on disk too: whether a later step changes a file must not depend on the time of the copy.
    const latestNs = sourceDateEpoch === undefined ? undefined : BigInt(sourceDateEpoch) * 1_000_000_000n;
    const owner = chown === undefined ? undefined : await this.#inInstruction(() => findOwner(tree, chown));
    const seen = this.#digest === undefined ? undefined : (await this.#digest).stamps;
    const stamps = await writeItems(tree, this.#items, {
      ...{ instruction, workdir, owner, chmod: this.#chmod, createdNs, latestNs, signal },
    });
    if (seen !== undefined && seen !== stamps) {
      throw instructionError(
        instruction,
        'files were changed while they were copied',
        'stop what writes to them and build again',
      );
    }
  }

  close(): Promise<void> {
    this.#spool.close();
    for (const tree of this.#opened.splice(0)) tree.close();
    return Promise.resolve();
  }

  #hashed(): Promise<{ readonly digest: Digest; readonly stamps: string }> {
    this.#digest ??= this.#hash();
    return this.#digest;
  }

  async #hash(): Promise<{ readonly digest: Digest; readonly stamps: string }> {
    const { instruction, workdir, signal } = this.#request;
    const { keyword, destination, chown, chmod, link } = instruction;
    const hash = createHash('sha256');
    addFields(hash, 'selection 1', keyword, destination, destination.startsWith('/') ? '' : workdir);
    addFields(hash, chown ?? '', chmod ?? '', link);
    const { hashes } = this.#options;
    const options = { hashes, chmod: this.#chmod, isOwned: chown !== undefined, signal };
    const { stamps } = await hashItems(hash, this.#items, options);
    return { digest: digestFrom(hash), stamps };
  }

  get #nowNs(): bigint {
    const { sourceDateEpoch } = this.#request;
    return BigInt(sourceDateEpoch ?? Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  }

  async #addFiles(source: string): Promise<void> {
    const { instruction, context } = this.#request;
    const { tree, keepsOwners } = context;
    const items = inInstruction(instruction, () =>
      selectFiles(tree, [source], { instruction, keepsOwners, from: context.name }),
    );
    const unpacks = instruction.keyword === 'ADD' && instruction.unpack !== false;
    for (const item of items) this.#items.push((unpacks ? await this.#unpacked(item) : undefined) ?? item);
  }

  /** Unpacks a tar; undefined if the item is not one. */
  async #unpacked(item: SelectedItem): Promise<SelectedItem | undefined> {
    const { tree, path, node } = item;
    if (node.type !== 'file') return undefined;
    const content = await tree.open(path, node);
    try {
      if (content.regions !== undefined || !(await this.#mayBeTar(content))) return undefined;
      const archive = await openTar(this.#deps, bytesOf(content), { spool: this.#spool, signal: this.#request.signal });
      return archive === undefined ? undefined : { ...item, ...topOf(archive), keepsOwners: true, isArchive: true };
    } finally {
      content.close();
    }
  }

  /** Rules out most other files without reading them. */
  async #mayBeTar({ fd, offset, size }: OpenContent): Promise<boolean> {
    const head = Buffer.alloc(COMPRESSION_HEAD_BYTES);
    readSync(fd, head, 0, Math.min(size, head.length), offset);
    const compression = compressionOfBytes(head);
    if (compression === 'xz' || compression === 'bzip2' || offset > 0) return size > 0;
    return this.#deps.beginsTar(fd, size);
  }

  async #addUrl(instruction: AddInstruction, source: string): Promise<void> {
    const url = parseUrl(source);
    if (url === undefined)
      throw instructionError(instruction, `${JSON.stringify(source)} is no URL`, 'write https://HOST[:PORT]/PATH');
    const name = nameOfUrl(url);
    if (name === undefined && namesDirectory(instruction.destination)) {
      throw instructionError(instruction, `${source} names no file`, 'give the destination the name of a file');
    }
    const file = await download(this.#deps, source, {
      ...{ checksum: instruction.checksum, spool: this.#spool, signal: this.#request.signal },
    });
    const mtimeNs = file.modified === undefined ? this.#nowNs : BigInt(file.modified) * 1_000_000_000n;
    const path = treePath(name ?? 'download');
    const tree = new SpooledTree(path, { mode: DOWNLOAD_MODE, mtimeNs }, file);
    if (instruction.unpack === true) {
      const bytes = bytesOf({ ...file, offset: 0 });
      const archive = await openTar(this.#deps, bytes, { spool: this.#spool, signal: this.#request.signal });
      if (archive !== undefined) {
        this.#items.push({ ...topOf(archive), name: path, withParents: false, keepsOwners: true, isArchive: true });
        return;
      }
    }
    this.#addItem(path, tree);
  }

  async #addRepository(instruction: AddInstruction, source: string): Promise<void> {
    const { spoolDirectory: parent, onDirectory } = this.#options;
    const { signal } = this.#request;
    const { clone, directory } = await cloneRepository(gitSource(source)!, { parent, onDirectory, signal });
    const tree = await this.#deps.openDirectory(clone);
    this.#opened.push(tree);
    const kept = { ...instruction, excludes: instruction.keepGitDir ? [] : ['.git'] };
    const options = { instruction: kept, keepsOwners: false, from: source };
    this.#items.push(...inInstruction(instruction, () => selectFiles(tree, [directory], options)));
  }

  #addItem(path: string, tree: FileTree): void {
    const node = tree.node(path)!;
    this.#items.push({ tree, path, node, name: path, withParents: false, keepsOwners: false, isArchive: false });
  }

  async #inInstruction<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      return inInstruction(this.#request.instruction, () => {
        throw error;
      });
    }
  }
}

function topOf(tree: FileTree): Pick<SelectedItem, 'tree' | 'path' | 'node'> {
  return { tree, path: '', node: tree.node('')! };
}
