import { chmodSync, chownSync, lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  expandInstruction,
  parseDockerfile,
  type AddInstruction,
  type CopyInstruction,
} from '../../lib/dockerfile/index.js';
import { buildDrivers } from '../../lib/imgtool/build-drivers.js';
import { readSettings } from '../../lib/imgtool/settings.js';
import {
  createBuildSources,
  type BuildContext,
  type BuildSources,
  type BuildSourcesOptions,
  type Selection,
} from '../../lib/operations/build-context/index.js';
import { createLayerBuilder, packLayer } from '../../lib/layer/index.js';
import { openDirectoryTree, walkChanges } from '../../lib/rootfs/index.js';
import { expect } from 'chai';
import { listTree, type TreeEntry } from '../helpers/tree-listing.js';

export const never: AbortSignal = new AbortController().signal;

/** Files to make: a string is a file's content, `null` a directory, `→x` a symbolic link; `[uid, gid]` and a mode follow with a tab. */
export type Files = Readonly<Record<string, string | null>>;

/** Makes files below a directory, names ending in `/` are directories. */
export function makeFiles(root: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    if (content === null) mkdirSync(path, { recursive: true });
    else if (content.startsWith('→')) symlinkSync(content.slice(1), path);
    else writeFileSync(path, content);
  }
}

/** The instruction of one line, expanded with no variables but those given. */
export function copyInstruction(
  text: string,
  variables: Readonly<Record<string, string>> = {},
): CopyInstruction | AddInstruction {
  const dockerfile = parseDockerfile(Buffer.from(`FROM scratch\n${text}\n`), { file: 'Dockerfile' });
  const instruction = dockerfile.stages[0]!.instructions[0] as CopyInstruction | AddInstruction;
  return expandInstruction(instruction, new Map(Object.entries(variables)));
}

/** A context, a stage, and what copies from one to the other. */
export class CopyStage {
  readonly base = mkdtempSync(join(tmpdir(), 'imgtool-copy-'));
  readonly context = join(this.base, 'context');
  readonly stage: string;
  readonly source = join(this.base, 'source');
  readonly outside = join(this.base, 'outside');
  readonly notes: string[] = [];

  /** `stage`: an existing directory that is the stage. */
  constructor(stage?: string) {
    this.stage = stage ?? join(this.base, 'stage');
    for (const directory of [this.context, this.stage, this.source, this.outside])
      mkdirSync(directory, { recursive: true });
    writeFileSync(join(this.outside, 'secret'), 'must not be seen');
  }

  remove(): void {
    rmSync(this.base, { recursive: true, force: true });
  }

  sources(options: Partial<BuildSourcesOptions> = {}): BuildSources {
    return createBuildSources(buildDrivers(readSettings({ onNote: (line) => this.notes.push(line) })), {
      context: this.context,
      contexts: new Map(),
      spoolDirectory: this.base,
      signal: never,
      ...options,
    });
  }

  /** Runs one COPY or ADD; the digest of what it selects. `from`: a directory that `--from` stands for. */
  async copy(
    text: string,
    {
      workdir = '/',
      from,
      variables,
      dry = false,
      ...options
    }: Partial<BuildSourcesOptions> & {
      readonly workdir?: string;
      readonly from?: string;
      readonly variables?: Readonly<Record<string, string>>;
      readonly dry?: boolean;
    } = {},
  ): Promise<string> {
    const sources = this.sources(options);
    let selection: Selection | undefined;
    try {
      const context: BuildContext = await (from === undefined ? sources.main() : sources.ofTree('stage source', from));
      const instruction = copyInstruction(text, variables);
      selection = await sources.select({ instruction, context, workdir, signal: never });
      const digest = await selection.digest();
      if (!dry) await this.#write(sources, selection);
      return digest;
    } finally {
      await selection?.close();
      await sources.close();
    }
  }

  /** Writes the files, and a layer of them on the stage as it was: the bytes are those of a layer packed from the directory. */
  async #write(sources: BuildSources, selection: Selection): Promise<void> {
    const before = join(this.base, 'before');
    execFileSync('rm', ['-rf', before]);
    execFileSync('cp', ['-a', this.stage, before]);
    const createdNs = 1_700_000_000n * 1_000_000_000n;
    await sources.write(selection, this.stage, { createdNs, signal: never });
    const changes = await walkChanges(before, this.stage);
    const common = { compression: 'none', sourceDateEpoch: 4_000_000_000, signal: never } as const;
    const output = createWriteStream(join(this.base, 'packed.tar'));
    const packed = await packLayer({ lower: before, upper: this.stage, changes, output, ...common });
    const base = openDirectoryTree(before);
    try {
      const builder = createLayerBuilder(base);
      await selection.writeTo({ tree: builder, createdNs, signal: never });
      const built = await builder.pack({ output: createWriteStream(join(this.base, 'built.tar')), ...common });
      if (built.diffId !== packed.diffId) expect(this.#listing('built.tar')).to.equal(this.#listing('packed.tar'));
      expect(built.diffId).to.equal(packed.diffId);
    } finally {
      base.close();
    }
  }

  #listing(name: string): string {
    return execFileSync('tar', ['-tvvf', join(this.base, name), '--full-time', '--numeric-owner'], {
      encoding: 'utf8',
    });
  }

  /** The stage's tree by path. */
  tree(): Map<string, TreeEntry> {
    return listTree(this.stage);
  }
}

/** Gives a file its owner and, if given, its mode. */
export function own(path: string, uid: number, gid: number, mode?: number): void {
  if (mode === undefined) lchownSync(path, uid, gid);
  else {
    chownSync(path, uid, gid);
    chmodSync(path, mode);
  }
}
