import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeStores } from '../containers.js';
import { timeProgram, type BenchContext, type BenchRow, type Participant } from '../row.js';
import { makeLargeStore } from './scale.js';

/** The Dockerfile of one run. `run`: other in each run. */
type Dockerfile = (base: string, run: string) => string;

const runs = (count: number): string => Array.from({ length: count }, (_, n) => `RUN echo >/f${n}\n`).join('');

const TEN_RUNS: Dockerfile = (base, run) => `FROM ${base}\nENV RUN=${run}\n${runs(10)}`;
const SAME: Dockerfile = (base) => `FROM ${base}\n${runs(10)}COPY file /file\n`;
const LAST_COPY: Dockerfile = (base) => `FROM ${base}\n${runs(19)}COPY changing /file\n`;

/** Ten steps that each write one file; none is in the cache. */
export const buildRuns: BenchRow = buildRow('build: ten RUN steps', TEN_RUNS);

/** All steps are in the cache. */
export const buildCached: BenchRow = buildRow('build: nothing changed', SAME);

/** Nineteen cached steps, and one file that changed in the last COPY. */
export const buildLastCopy: BenchRow = buildRow('build: a change in the last of 20 steps', LAST_COPY);

/** The same work in an image with many more files. */
export const scaleBuildRuns: BenchRow = scaleRow('scale: build of ten RUN steps', TEN_RUNS);
export const scaleBuildCached: BenchRow = scaleRow('scale: build with nothing changed', SAME);

/** A directory with a Dockerfile, written before each run. */
class BuildContext {
  readonly #directory: string;
  readonly #dockerfile: Dockerfile;

  constructor(directory: string, dockerfile: Dockerfile) {
    this.#directory = directory;
    this.#dockerfile = dockerfile;
  }

  static async make(dockerfile: Dockerfile): Promise<BuildContext> {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-bench-build-'));
    await writeFile(join(directory, 'file'), 'the same\n');
    return new BuildContext(directory, dockerfile);
  }

  /** Times `program`, which gets the context as its last argument. The first run of a participant fills its cache, untimed. */
  participant(name: string, base: string, build: (context: string) => Promise<number>): Participant {
    let isFilled = false;
    const once = async (): Promise<number> => {
      await writeFile(join(this.#directory, 'changing'), randomUUID());
      await writeFile(join(this.#directory, 'Dockerfile'), this.#dockerfile(base, randomUUID()));
      return build(this.#directory);
    };
    return {
      name,
      run: async () => {
        if (!isFilled) await once();
        isFilled = true;
        return { value: await once() };
      },
    };
  }

  remove(): Promise<void> {
    return rm(this.#directory, { recursive: true });
  }
}

function imgtoolBuild({ imgtool }: BenchContext, root: string): (context: string) => Promise<number> {
  return (context) =>
    timeProgram(imgtool, ['--root', root, '--progress', 'none', 'build', '-t', 'localhost/made:1', context]);
}

function buildRow(name: string, dockerfile: Dockerfile): BenchRow {
  const made: { remove(): Promise<void> }[] = [];
  return {
    name,
    unit: 's',
    runs: 5,
    participants: async (context) => {
      const stores = await makeStores(context);
      const directory = await BuildContext.make(dockerfile);
      made.push(stores, directory);
      const { reference } = context.image;
      const buildah = [
        'bud',
        '-q',
        '--layers',
        '--network',
        'host',
        '--runtime',
        'runc',
        '--pull-never',
        '-t',
        'localhost/made:1',
      ];
      return [
        directory.participant('imgtool', reference, imgtoolBuild(context, stores.root)),
        directory.participant('buildah --layers', reference, (place) =>
          timeProgram('buildah', [...buildah, place], { env: stores.podman.env }),
        ),
      ];
    },
    finish: async () => {
      for (const one of made.splice(0)) await one.remove();
    },
  };
}

function scaleRow(name: string, dockerfile: Dockerfile): BenchRow {
  const made: { remove(): Promise<void> }[] = [];
  return {
    name,
    unit: 's',
    runs: 5,
    participants: async (context) => {
      const store = await makeLargeStore(context);
      const directory = await BuildContext.make(dockerfile);
      made.push(store, directory);
      const build = imgtoolBuild(context, store.root);
      return [
        directory.participant(`imgtool, ${store.more} files more`, store.large, build),
        directory.participant('imgtool, the image', store.small, build),
      ];
    },
    finish: async () => {
      for (const one of made.splice(0)) await one.remove();
    },
  };
}
