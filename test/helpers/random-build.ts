/** Random Dockerfiles and contexts, and random edits of them: what the build cache is proved with. */
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RandomSource } from './random-source.js';

/** Paths that the context may have; some are directories of others, or in the way of them. */
const PATHS = ['a', 'b', 'c', 'd/x', 'd/y', 'd/e/z', 'f', 'f/g', '.h', 'd/l'] as const;
const CONTENTS = ['', 'one\n', 'two\n', 'three\n'] as const;
const MODES = [0o644, 0o600, 0o755] as const;
const IGNORED = ['a', 'd', 'd/*', '!d/x', '**/z', '*', '!b', 'f/**', '# none'] as const;
const SOURCES = ['a', 'a', 'b', 'b', 'd', 'd/', '.', '.', 'd/x', '*', 'd/*', 'f*', './d/e*', '$K', '?'] as const;
const TARGETS = ['/', '/t/', '/t/u/', './', 'v/', '/t/', '$K/', '/n', '/t'] as const;
const FLAGS = [
  '',
  '',
  '',
  '--chown=1:2 ',
  '--chmod=640 ',
  '--chmod=u+x ',
  '--exclude=*y ',
  '--parents ',
  '--link ',
] as const;
const NAMES = ['K', 'L', 'M'] as const;
const WORDS = ['a', 'b', 'd', '$K', '$L-x', 'w'] as const;

/** A build: its context's entries, ignore file, instructions and arguments. All of it is plain data. */
export interface RandomBuild {
  /** Path → content, or `->TARGET` for a link; with a mode. */
  files: Map<string, { content: string; mode: number; mtime: number }>;
  ignore: string[];
  /** Instructions of each stage, without FROM. */
  stages: string[][];
  args: Map<string, string>;
}

/** A build to begin with. */
export function randomBuild({ below }: RandomSource): RandomBuild {
  const build: RandomBuild = { files: new Map(), ignore: [], stages: [], args: new Map() };
  for (const path of ['a', 'b', 'd/x', 'd/y'])
    build.files.set(path, { content: path, mode: 0o644, mtime: 1_600_000_000 });
  for (let count = below(5); count > 0; count--) putFile(build, below);
  for (let count = 1 + below(3); count > 0; count--) {
    const index = build.stages.length;
    build.stages.push([...Array.from({ length: 1 + below(3) }, () => instruction(index, below)), 'COPY . ./']);
  }
  return build;
}

/** Changes one thing of a build, and says what. */
export function edit(build: RandomBuild, { below }: RandomSource): string {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  switch (below(8)) {
    case 0:
    case 1:
      return `put ${putFile(build, below)}`;
    case 2: {
      const path = pick([...build.files.keys(), 'a']);
      build.files.delete(path);
      return `remove ${path}`;
    }
    case 3: {
      const file = build.files.get(pick([...build.files.keys(), 'a']));
      if (file !== undefined) file.mtime += 1 + below(1000);
      return 'touch';
    }
    case 4: {
      build.ignore = Array.from({ length: below(4) }, () => pick(IGNORED));
      return `ignore ${build.ignore.join(' ')}`;
    }
    case 5: {
      const [name, value] = [pick(NAMES), pick(WORDS)];
      if (below(3) === 0) build.args.delete(name);
      else build.args.set(name, value);
      return `arg ${name}=${value}`;
    }
    case 6: {
      const stage = build.stages[below(build.stages.length)]!;
      const index = below(stage.length);
      stage[index] = instruction(build.stages.indexOf(stage), below);
      return `instruction ${stage[index]}`;
    }
    default: {
      const stage = build.stages[below(build.stages.length)]!;
      stage.splice(below(stage.length + 1), 0, instruction(build.stages.indexOf(stage), below));
      if (stage.length > 6) stage.shift();
      return 'one more instruction';
    }
  }
}

/** Writes context, ignore file and Dockerfile into `directory`, in place of what is there. */
export function writeBuild(directory: string, build: RandomBuild): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [path, { content, mode, mtime }] of [...build.files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const target = join(directory, path);
    // What is in the way of another path is left out.
    if (!isFree(directory, path)) continue;
    mkdirSync(dirname(target), { recursive: true });
    if (content.startsWith('->')) {
      symlinkSync(content.slice(2), target);
      continue;
    }
    writeFileSync(target, content);
    chmodSync(target, mode);
    utimesSync(target, mtime, mtime);
  }
  writeFileSync(join(directory, 'Dockerfile'), dockerfileOf(build));
  if (build.ignore.length > 0) writeFileSync(join(directory, '.dockerignore'), `${build.ignore.join('\n')}\n`);
}

export function dockerfileOf({ stages }: RandomBuild): string {
  return stages
    .map((lines, index) => [
      `FROM ${index > 0 && lines.length % 3 === 0 ? `s${index - 1}` : 'scratch'} AS s${index}`,
      ...lines,
    ])
    .map((lines) => `${lines.join('\n')}\n`)
    .join('');
}

function isFree(directory: string, path: string): boolean {
  if (existsSync(join(directory, path))) return false;
  for (let at = dirname(path); at !== '.'; at = dirname(at)) {
    const stat = lstatSync(join(directory, at), { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isDirectory()) return false;
  }
  return true;
}

function putFile(build: RandomBuild, below: RandomSource['below']): string {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const path = pick(PATHS);
  const content = path === 'd/l' ? `->${pick(['x', '../a', '/b', 'nowhere'])}` : pick(CONTENTS);
  build.files.set(path, { content, mode: pick(MODES), mtime: 1_600_000_000 + below(1000) });
  return path;
}

function instruction(stage: number, below: RandomSource['below']): string {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  switch (below(10)) {
    case 0:
      return `ARG ${pick(NAMES)}${below(2) === 0 ? '' : `=${pick(WORDS)}`}`;
    case 1:
      return `ENV ${pick(NAMES)}=${pick(WORDS)}`;
    case 2:
      return `WORKDIR ${pick(['/w', 'sub', '/t/u', '$K', '/'])}`;
    case 3:
      return pick(['USER 1:2', 'USER 0', 'LABEL k=$K', 'CMD ["x"]', 'ENTRYPOINT y', 'EXPOSE 80', 'VOLUME /v']);
    case 4:
      return `COPY <<EOT ${pick(TARGETS)}\n$K ${pick(WORDS)}\nEOT`;
    case 5:
      if (stage > 0)
        return `COPY --from=s${below(stage)} ${pick(['/', '/', '/t*', '/w*', '/a*', '/t'])} ${pick(TARGETS)}`;
      return 'ADD d /t/';
    default:
      return `COPY ${pick(FLAGS)}${pick(SOURCES)} ${pick(TARGETS)}`;
  }
}
