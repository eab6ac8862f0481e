import { createReadStream, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { IgnorePatterns } from '../../dockerfile/index.js';
import { NotFoundError, UsageError } from '../../errors.js';
import type { FileTree } from '../../rootfs/index.js';
import { closeAll, readIfPresent } from '../../util/index.js';
import { cloneRepository, download, gitSource } from './add-sources.js';
import { ContentHashes } from './content-hashes.js';
import { followPath, treePath } from './follow-path.js';
import { bytesOf, openTar } from './open-tar.js';
import { readContent } from './read-content.js';
import { resolveSelection } from './resolve-selection.js';
import { Spool } from './spool.js';
import { FilteredTree, Subtree } from './tree-views.js';
import type { BuildContext, BuildContextDeps, Selection, SelectionRequest } from './types.js';

/** The contexts of a build. */
export interface BuildSourcesOptions {
  /** The build context: a directory, a tar, the URL of a tar, a git repository, `-` for a tar on `stdin`; undefined for none. */
  readonly context: string | undefined;
  readonly stdin?: Readable | undefined;
  /** Values of `--build-context` by name: like `context`, or an image (`docker-image://REF`, `docker://REF`, `oci:DIR[:TAG]`). */
  readonly contexts: ReadonlyMap<string, string>;
  /** The Dockerfile: a path on this machine if the context is a directory, else one in the context. */
  readonly dockerfile?: string | undefined;
  /** An ignore file on this machine that replaces those of the Dockerfile and the context. */
  readonly ignoreFile?: string | undefined;
  /** Directory for temporary files. */
  readonly spoolDirectory: string;
  /** The user's directory for cached file hashes; undefined: no cache. */
  readonly cacheDirectory?: string | undefined;
  readonly sourceDateEpoch?: number | undefined;
  readonly signal: AbortSignal;
}

/** Sources of files for one build. */
export interface BuildSources {
  /** Names of `--build-context`. */
  readonly names: ReadonlySet<string>;
  /** The build context without ignored files, opened on first use. Throws NotFoundError, UsageError. */
  main(): Promise<BuildContext>;
  /** Reads a file of the build context, ignored or not, such as the Dockerfile; undefined if it is missing. */
  readFile(path: string): Promise<Buffer | undefined>;
  /** The patterns of the ignore file, empty without one. Throws DockerfileError. */
  ignorePatterns(): Promise<IgnorePatterns>;
  /** A `--build-context` that holds files. Throws NotFoundError, UsageError. */
  named(name: string): Promise<BuildContext>;
  /** The image of a `--build-context`: `REF`, or `oci:DIR[:TAG]`; undefined if it holds files. */
  imageOf(name: string): string | undefined;
  /** The files of a stage or an image, in a directory. */
  ofTree(name: string, directory: string): Promise<BuildContext>;
  /** Selects the files of an expanded COPY or ADD; the caller closes the selection. */
  select(request: SelectionRequest): Promise<Selection>;
  /** Writes a selection into the stage in a directory. `createdNs`: time of created directories, in ns since 1970. */
  write(
    selection: Selection,
    directory: string,
    options: { readonly createdNs: bigint; readonly signal: AbortSignal },
  ): Promise<void>;
  /** Saves file hashes for the next build and removes temporary files. Idempotent. */
  close(): Promise<void>;
}

const IGNORE_FILES = ['.dockerignore', '.containerignore'];
/** Size limit of a Dockerfile or an ignore file. */
const MAX_BYTES = 4 * 1024 * 1024;

/** The contexts of a build, each opened on first use. */
export function createBuildSources(deps: BuildContextDeps, options: BuildSourcesOptions): BuildSources {
  return new Sources(deps, options);
}

/** A context before its ignore file applies. */
type RawContext = Pick<BuildContext, 'tree' | 'directory'>;

class Sources implements BuildSources {
  readonly names: ReadonlySet<string>;
  readonly #deps: BuildContextDeps;
  readonly #options: BuildSourcesOptions;
  readonly #spool: Spool;
  readonly #hashes: ContentHashes;
  readonly #directories: string[] = [];
  readonly #trees: { close(): void }[] = [];
  readonly #named = new Map<string, Promise<BuildContext>>();
  #raw: Promise<RawContext> | undefined;
  #main: Promise<BuildContext> | undefined;
  #patterns: Promise<IgnorePatterns> | undefined;

  constructor(deps: BuildContextDeps, options: BuildSourcesOptions) {
    this.#deps = deps;
    this.#options = options;
    this.names = new Set(options.contexts.keys());
    this.#spool = new Spool(options.spoolDirectory);
    const { cacheDirectory, context = '' } = options;
    const key = createHash('sha256').update(resolve(context)).digest('hex').slice(0, 32);
    this.#hashes = new ContentHashes(cacheDirectory && join(cacheDirectory, 'contexts', key));
  }

  main(): Promise<BuildContext> {
    this.#main ??= this.#openMain();
    return this.#main;
  }

  async readFile(path: string): Promise<Buffer | undefined> {
    const { tree } = await this.#rawMain();
    return readTreeFile(tree, path);
  }

  ignorePatterns(): Promise<IgnorePatterns> {
    this.#patterns ??= this.#readPatterns();
    return this.#patterns;
  }

  named(name: string): Promise<BuildContext> {
    let context = this.#named.get(name);
    if (context === undefined) {
      const value = this.#options.contexts.get(name);
      if (value === undefined) throw new UsageError(`there is no build context ${name}`);
      context = this.#open(value).then((raw) => this.#contextOf(`the build context ${name}`, raw));
      this.#named.set(name, context);
    }
    return context;
  }

  imageOf(name: string): string | undefined {
    const value = this.#options.contexts.get(name);
    const image = /^(?:docker-image|docker):\/\/(.+)$/.exec(value ?? '')?.[1];
    if (image !== undefined) return image;
    const layout = /^oci-layout:\/\/(.+)$/.exec(value ?? '')?.[1];
    if (layout !== undefined) return `oci:${layout}`;
    return value?.startsWith('oci:') === true ? value : undefined;
  }

  async ofTree(name: string, directory: string): Promise<BuildContext> {
    const tree = await this.#openDirectory(directory);
    return { name, tree, keepsOwners: true, directory, close: () => this.#close(tree) };
  }

  select(request: SelectionRequest): Promise<Selection> {
    const { sourceDateEpoch, spoolDirectory } = this.#options;
    return resolveSelection(
      this.#deps,
      { sourceDateEpoch, ...request },
      {
        hashes: this.#hashes,
        spoolDirectory,
        onDirectory: (directory) => this.#directories.push(directory),
      },
    );
  }

  async write(
    selection: Selection,
    directory: string,
    { createdNs, signal }: { readonly createdNs: bigint; readonly signal: AbortSignal },
  ): Promise<void> {
    const onRefused = (attribute: string): void => {
      this.#deps.onNote(`attribute ${attribute} left out: the file system refuses it`);
    };
    const tree = await this.#deps.openWriter(directory, { onRefused, signal });
    try {
      await selection.writeTo({ tree, createdNs, signal });
      tree.finish();
    } finally {
      tree.close();
    }
  }

  async close(): Promise<void> {
    await closeAll([
      () => this.#hashes.save(),
      ...this.#trees.splice(0).map((tree) => () => tree.close()),
      () => this.#spool.close(),
      ...this.#directories.splice(0).map((directory) => () => rm(directory, { recursive: true, force: true })),
    ]);
  }

  async #openMain(): Promise<BuildContext> {
    const raw = await this.#rawMain();
    const patterns = await this.ignorePatterns();
    const tree = patterns.isEmpty ? raw.tree : new FilteredTree(raw.tree, patterns);
    return this.#contextOf('the build context', { ...raw, tree });
  }

  #contextOf(name: string, { tree, directory }: RawContext): BuildContext {
    const place = directory === undefined ? {} : { directory };
    return { name, tree, keepsOwners: false, ...place, close: () => Promise.resolve() };
  }

  #rawMain(): Promise<RawContext> {
    const { context } = this.#options;
    if (context === undefined)
      throw new UsageError('this build has no context', { hint: 'give a directory as context' });
    this.#raw ??= this.#open(context);
    return this.#raw;
  }

  async #open(value: string): Promise<RawContext> {
    const { stdin, signal, spoolDirectory: parent } = this.#options;
    if (value === '-') {
      if (stdin === undefined) throw new UsageError('there is no standard input to read the context from');
      return { tree: await this.#tar(stdin as AsyncIterable<Buffer>, 'standard input') };
    }
    const git = gitSource(value);
    if (git !== undefined) {
      const onDirectory = (directory: string): void => void this.#directories.push(directory);
      const { clone, directory } = await cloneRepository(git, { parent, onDirectory, signal });
      const whole = await this.#openDirectory(clone);
      const top = followPath(whole, treePath(directory));
      if (whole.node(top)?.type !== 'directory') throw new UsageError(`${value} has no directory ${directory}`);
      return { tree: new Subtree(whole, top), directory: join(clone, Buffer.from(top, 'latin1').toString()) };
    }
    if (/^https?:\/\//i.test(value)) {
      const file = await download(this.#deps, value, { checksum: undefined, spool: this.#spool, signal });
      return { tree: await this.#tar(bytesOf({ ...file, offset: 0 }), value) };
    }
    const stats = statSync(value, { throwIfNoEntry: false });
    if (stats === undefined) {
      throw new NotFoundError(`the build context ${value} does not exist`, { kind: 'file', subject: value });
    }
    if (stats.isDirectory()) return { tree: await this.#openDirectory(value), directory: resolve(value) };
    return { tree: await this.#tar(createReadStream(value) as AsyncIterable<Buffer>, value) };
  }

  async #tar(source: AsyncIterable<Buffer>, name: string): Promise<FileTree> {
    const tree = await openTar(this.#deps, source, { spool: this.#spool, signal: this.#options.signal });
    if (tree !== undefined) return tree;
    throw new UsageError(`${name} is no tar`, { hint: 'a context is a directory, a tar or a git repository' });
  }

  async #readPatterns(): Promise<IgnorePatterns> {
    const { dockerfile, ignoreFile } = this.#options;
    if (ignoreFile !== undefined) {
      const text = await readIfPresent(ignoreFile);
      if (text !== undefined) return IgnorePatterns.parse(text.toString(), { file: ignoreFile });
      throw new NotFoundError(`there is no ignore file ${ignoreFile}`, {
        ...{ kind: 'file', subject: ignoreFile },
        hint: 'check the path of --ignorefile',
      });
    }
    const { tree, directory } = await this.#rawMain();
    const own = dockerfile === undefined ? undefined : `${dockerfile}.dockerignore`;
    if (own !== undefined) {
      const text = directory === undefined ? await readTreeFile(tree, own) : await readIfPresent(own);
      if (text !== undefined) return IgnorePatterns.parse(text.toString(), { file: own });
    }
    for (const file of IGNORE_FILES) {
      const text = await readTreeFile(tree, file);
      if (text !== undefined) return IgnorePatterns.parse(text.toString(), { file });
    }
    return IgnorePatterns.of([]);
  }

  async #openDirectory(directory: string): Promise<FileTree & { close(): void }> {
    const tree = await this.#deps.openDirectory(directory);
    this.#trees.push(tree);
    return tree;
  }

  #close(tree: { close(): void }): Promise<void> {
    const at = this.#trees.indexOf(tree);
    if (at >= 0) this.#trees.splice(at, 1)[0]!.close();
    return Promise.resolve();
  }
}

async function readTreeFile(tree: FileTree, given: string): Promise<Buffer | undefined> {
  const path = followPath(tree, treePath(given));
  const node = tree.node(path);
  if (node?.type !== 'file') return undefined;
  if (node.size > MAX_BYTES) throw new UsageError(`${given} has ${node.size} bytes, more than ${MAX_BYTES}`);
  return readContent(await tree.open(path, node));
}
