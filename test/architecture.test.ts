import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect } from 'chai';
import { parseSync } from 'oxc-parser';

/** What a room may import by value, and the rooms of which it may import types only. */
interface Room {
  readonly values: readonly string[];
  readonly types?: readonly string[];
}

const LOW = ['errors', 'spec', 'progress'];
const BASE = [...LOW, 'util', 'sys'];
const DRIVERS = [
  'deflate',
  'limits',
  'http',
  'hosts',
  'content',
  'rootfs',
  'metadata',
  'auth',
  'layer',
  'snapshot',
  'registry',
  'server',
  'archive',
  'runtime',
  'queue',
];

/** The table of rooms of docs/architecture.md. */
const ROOMS: Readonly<Record<string, Room>> = {
  errors: { values: [] },
  spec: { values: ['errors'] },
  progress: { values: ['errors'], types: ['spec'] },
  dockerfile: { values: ['errors', 'spec', 'util'] },
  util: { values: LOW },
  sys: { values: LOW },
  template: { values: ['errors', 'util'] },
  deflate: { values: [] },
  limits: { values: BASE },
  http: { values: [...BASE, 'limits'] },
  hosts: { values: BASE },
  content: { values: BASE },
  rootfs: { values: BASE },
  metadata: { values: BASE },
  auth: { values: [...BASE, 'http'] },
  layer: { values: [...BASE, 'rootfs', 'deflate'] },
  runtime: { values: [...BASE, 'rootfs'] },
  snapshot: { values: [...BASE, 'rootfs'] },
  registry: { values: [...BASE, 'http', 'auth'] },
  server: { values: [...BASE, 'content'] },
  archive: { values: BASE },
  queue: { values: BASE },
  operations: { values: ['errors', 'spec', 'util', 'progress', 'dockerfile'], types: [...DRIVERS, 'sys'] },
  imgtool: { values: ['errors', 'spec', 'util', 'progress', 'dockerfile', 'operations'], types: [...DRIVERS, 'sys'] },
  cli: {
    values: ['errors', 'spec', 'util', 'progress', 'dockerfile', 'template', 'imgtool'],
    types: ['operations', ...DRIVERS, 'sys'],
  },
  index: { values: [...BASE, ...DRIVERS, 'dockerfile', 'operations', 'imgtool'] },
};

/** The rooms inside `lib/operations`, a row for each level: a room may import those of earlier rows, through their doors. */
const OPERATIONS: readonly (readonly string[])[] = [
  ['deps'],
  ['store'],
  ['registry'],
  ['download'],
  ['layers'],
  ['convert'],
  ['copy'],
  ['pull', 'push', 'archives', 'containers', 'mutate', 'images', 'diff', 'maintain', 'serve', 'sync-rules'],
  ['build-context'],
  ['build', 'sync'],
  ['build-remote'],
  ['mutate-remote'],
];
/** Files that a room inside `lib/operations` may hold, its door included. */
const MOST_FILES = 16;

/** Where concrete classes are constructed: may import every room by value. */
const WIRING = ['drivers', 'registry-drivers', 'local-drivers', 'client-options', 'build-drivers'].map(
  (name) => `lib/imgtool/${name}.ts`,
);

/** Packages that one room alone may import. */
const PACKAGE_OWNER: Readonly<Record<string, string>> = {
  got: 'http',
  koffi: 'sys',
  'smol-toml': 'hosts',
  'tar-stream': 'archive',
  bullmq: 'queue',
  ioredis: 'queue',
};

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** Every import and re-export of a source text, `import()` included. The linter refuses `import()` in types. */
function importsOf(file: string, text: string): Import[] {
  const { staticImports, staticExports, dynamicImports } = parseSync(file, text).module;
  const allTypes = (entries: readonly { readonly isType: boolean }[]): boolean =>
    entries.length > 0 && entries.every(({ isType }) => isType);
  return [
    ...staticImports.map(({ moduleRequest, entries }) => ({
      specifier: moduleRequest.value,
      typeOnly: allTypes(entries),
    })),
    ...staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) =>
        moduleRequest === null ? [] : [{ specifier: moduleRequest.value, typeOnly: allTypes(entries) }],
      ),
    ),
    ...dynamicImports
      .map(({ moduleRequest: { start, end } }) => text.slice(start, end))
      .filter((source) => /^['"]/.test(source))
      .map((source) => ({ specifier: source.slice(1, -1), typeOnly: false })),
  ];
}

/** Name of the room that `file` (`lib/room/x.ts`, `lib/errors.ts`) is in. */
function roomOf(file: string): string {
  return (file.split('/')[1] ?? '').replace(/\.ts$/, '');
}

/** One line for each import of `file` that the table does not allow. */
function violations(file: string, text: string): string[] {
  const room = roomOf(file);
  const rules = ROOMS[room];
  if (rules === undefined) return [`${file}: room "${room}" is not in the table`];
  const wrong: string[] = [];
  for (const { specifier, typeOnly } of importsOf(file, text)) {
    const errorAt = (why: string): void => void wrong.push(`${file}: ${specifier}: ${why}`);
    if (!specifier.startsWith('.')) {
      const name = specifier.split('/')[0] ?? '';
      const owner = PACKAGE_OWNER[name];
      if (owner !== undefined && owner !== room) errorAt(`only lib/${owner} may import ${name}`);
      continue;
    }
    const target = join(dirname(file), specifier).replace(/\.js$/, '.ts');
    if (!target.startsWith('lib/')) {
      // The program's version is data of the package, not a room.
      if (target !== 'package.json') errorAt('leads out of lib/');
      continue;
    }
    const other = roomOf(target);
    if (other === room) {
      if (room === 'operations') wrong.push(...operationViolations(file, target, specifier));
      continue;
    }
    if (target.split('/').length > 2 && !isDoor(target)) errorAt(`index.ts is the only door of lib/${other}`);
    const allowed =
      WIRING.includes(file) || rules.values.includes(other) || (typeOnly && (rules.types ?? []).includes(other));
    if (!allowed) errorAt(`lib/${room} may not import ${typeOnly ? 'types' : 'values'} of lib/${other}`);
  }
  return wrong;
}

/** Whether a file is the door of a room, or of a room inside `lib/operations`. */
function isDoor(file: string): boolean {
  return /^lib\/(?:[^/]+|operations\/[^/]+)\/index\.ts$/.test(file);
}

/** What is wrong with an import from one file of `lib/operations` to another. */
function operationViolations(file: string, target: string, specifier: string): string[] {
  const [room, other] = [innerRoomOf(file), innerRoomOf(target)];
  if (room === 'index' || room === other) return [];
  if (other === 'index') return [`${file}: ${specifier}: index.ts is for those outside of lib/operations`];
  const [level, otherLevel] = [room, other].map((name) => OPERATIONS.findIndex((row) => row.includes(name)));
  if (level === -1 || otherLevel === -1) return [`${file}: ${specifier}: a room of lib/operations is not in the table`];
  if (other !== 'deps' && !isDoor(target)) return [`${file}: ${specifier}: index.ts is the only door of ${other}`];
  if (otherLevel! < level!) return [];
  return [`${file}: ${specifier}: lib/operations/${room} may not import lib/operations/${other}`];
}

/** One line for each import of a test that passes by the door of another room than its own. */
function sideDoors(file: string): string[] {
  return targetsOf(file)
    .filter((target) => target.startsWith('lib/') && target.split('/').length > 2 && !isDoor(target))
    .filter((target) => target !== 'lib/operations/index.ts' && roomOf(target) !== roomOf(file))
    .map((target) => `${file}: ${target}`);
}

/** Name of the room inside `lib/operations` that a file is in: `copy`, `deps`, `index`. */
function innerRoomOf(file: string): string {
  return (file.split('/')[2] ?? '').replace(/\.ts$/, '');
}

/** One circle of files that import each other, types included, as `a > b > a`; undefined: there is none. */
function circleIn(files: readonly string[]): string | undefined {
  const known = new Set(files);
  const imports = new Map(files.map((file) => [file, targetsOf(file).filter((target) => known.has(target))]));
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file].join(' > ');
    if (done.has(file)) return undefined;
    for (const target of imports.get(file) ?? []) {
      const circle = visit(target, [...path, file]);
      if (circle !== undefined) return circle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of files) {
    const circle = visit(file, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

function targetsOf(file: string): string[] {
  return importsOf(file, readFileSync(file, 'utf8'))
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier }) => join(dirname(file), specifier).replace(/\.js$/, '.ts'));
}

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative('.', join(entry.parentPath, entry.name)))
    .sort();
}

describe('architecture', () => {
  const files = sources('lib');

  it('every import keeps to the table of rooms', () => {
    expect(files.flatMap((file) => violations(file, readFileSync(file, 'utf8')))).to.deep.equal([]);
  });

  it('tests enter a room through its door; those in test/ROOM may also import the files of lib/ROOM', () => {
    expect(sources('test').flatMap(sideDoors)).to.deep.equal([]);
  });

  it('no files import each other in a circle, types included', () => {
    expect(circleIn(files)).to.equal(undefined);
  });

  it('lib/operations holds rooms of few files', () => {
    const inside = files.filter((file) => file.startsWith('lib/operations/')).map((file) => file.split('/').slice(2));
    expect(inside.filter((path) => path.length === 1).flat()).to.deep.equal(['deps.ts', 'index.ts']);
    for (const room of new Set(inside.filter((path) => path.length > 1).map(([name]) => name)))
      expect(inside.filter(([name]) => name === room).length, `files of ${room}`).to.be.at.most(MOST_FILES);
  });

  it('every door says in at most ten lines what its room is for', () => {
    for (const file of files.filter((name) => isDoor(name))) {
      const comment = /^\/\*\*([\s\S]*?)\*\//.exec(readFileSync(file, 'utf8'))?.[1];
      expect(comment, `${file} does not open with a comment`).to.be.a('string');
      expect(comment?.split('\n').length, `${file}: lines of the opening comment`).to.be.at.most(12);
    }
  });

  it('no file has a default export', () => {
    for (const file of files)
      expect(/^export default /m.test(readFileSync(file, 'utf8')), `${file} has a default export`).to.equal(false);
  });

  const bad: readonly { name: string; file: string; text: string; want: string }[] = [
    {
      name: 'a driver importing another',
      file: 'lib/layer/a.ts',
      text: "import { x } from '../content/index.js';",
      want: 'may not import values of lib/content',
    },
    {
      name: 'even its types',
      file: 'lib/layer/a.ts',
      text: "import type { x } from '../content/index.js';",
      want: 'may not import types of lib/content',
    },
    {
      name: 'a side door',
      file: 'lib/http/a.ts',
      text: "import { x } from '../util/growing-file.js';",
      want: 'only door',
    },
    {
      name: 'an operation constructing',
      file: 'lib/operations/pull/pull.ts',
      text: "import { x } from '../../content/index.js';",
      want: 'may not import values',
    },
    {
      name: 'a mixed import',
      file: 'lib/operations/pull/pull.ts',
      text: "import { type A, b } from '../../content/index.js';",
      want: 'may not import values',
    },
    {
      name: 'a lazy import',
      file: 'lib/cli/commands/pull.ts',
      text: "const m = await import('../../registry/index.js');",
      want: 'may not import values',
    },
    {
      name: 'a command calling an operation',
      file: 'lib/cli/commands/pull.ts',
      text: "const m = await import('../../operations/index.js');",
      want: 'may not import values',
    },
    {
      name: 'an operation importing one above it',
      file: 'lib/operations/copy/copy.ts',
      text: "import type { x } from '../pull/index.js';",
      want: 'lib/operations/copy may not import lib/operations/pull',
    },
    {
      name: 'a side door inside operations',
      file: 'lib/operations/pull/pull.ts',
      text: "import { x } from '../copy/copy.js';",
      want: 'index.ts is the only door of copy',
    },
    {
      name: 'a re-export',
      file: 'lib/spec/a.ts',
      text: "export * from '../sys/index.js';",
      want: 'may not import values of lib/sys',
    },
    { name: 'got elsewhere', file: 'lib/registry/a.ts', text: "import got from 'got';", want: 'only lib/http' },
    { name: 'koffi elsewhere', file: 'lib/rootfs/a.ts', text: "import koffi from 'koffi';", want: 'only lib/sys' },
    { name: 'an unknown room', file: 'lib/stuff/a.ts', text: '', want: 'not in the table' },
    {
      name: 'a test helper',
      file: 'lib/util/a.ts',
      text: "import { x } from '../../test/helpers/y.js';",
      want: 'out of lib/',
    },
  ];
  for (const { name, file, text, want } of bad)
    it(`notices ${name}`, () => {
      expect(violations(file, text).join('\n')).to.include(want);
    });

  it('lets an operation import types, and the wiring everything', () => {
    expect(violations('lib/operations/copy/a.ts', "import type { A } from '../../content/index.js';")).to.deep.equal(
      [],
    );
    expect(violations('lib/operations/copy/a.ts', "import { type A } from '../../content/index.js';")).to.deep.equal(
      [],
    );
    expect(violations(WIRING[0]!, "import { A } from '../content/index.js';")).to.deep.equal([]);
  });
});

describe('docs', () => {
  const inDocs = readdirSync('docs', { encoding: 'utf8', recursive: true }).map((name) => join('docs', name));
  const pages = ['README.md', 'CHANGELOG.md', ...inDocs].filter((name) => name.endsWith('.md'));

  it('every relative link leads to a file', () => {
    const broken = pages.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)]
        .map((match) => match[1] ?? '')
        .filter((link) => !/^(https?:|mailto:|#)/.test(link))
        .filter((link) => !existsSync(resolve(dirname(page), link.split('#')[0] ?? '')))
        .map((link) => `${page}: ${link}`),
    );
    expect(broken).to.deep.equal([]);
  });

  it('docs/dependencies.md gives a reason for every dependency, and for no other', () => {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>;
    const wanted = ['dependencies', 'optionalDependencies', 'devDependencies'].flatMap((key) =>
      Object.keys(manifest[key] ?? {}),
    );
    const rows = readFileSync('docs/dependencies.md', 'utf8').matchAll(/^\| `([^`]+)` \| (.+?) \|/gm);
    const reasons = new Map([...rows].map((row) => [row[1] ?? '', row[2] ?? '']));
    expect([...reasons.keys()].sort()).to.deep.equal(wanted.sort());
    for (const [name, reason] of reasons) expect(reason.length, `reason for ${name}`).to.be.greaterThan(10);
  });
});
