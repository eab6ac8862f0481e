import { expect } from 'chai';
import { DockerfileError } from '../../lib/errors.js';
import {
  expandInstruction,
  globalVariables,
  parseDockerfile,
  StageGraph,
  StageScope,
  type BuildInputs,
  type Dockerfile,
} from '../../lib/dockerfile/index.js';

const amd64 = { os: 'linux', architecture: 'amd64' };

function parse(text: string): Dockerfile {
  return parseDockerfile(Buffer.from(text), { file: 'Dockerfile' });
}

function inputsOf(buildArgs: Readonly<Record<string, string>> = {}, target?: string): BuildInputs {
  return { buildArgs: new Map(Object.entries(buildArgs)), buildPlatform: amd64, targetPlatform: amd64, target };
}

function graphOf(text: string, buildArgs: Readonly<Record<string, string>> = {}, contexts: string[] = []): StageGraph {
  const dockerfile = parse(text);
  return new StageGraph(dockerfile, {
    globals: globalVariables(dockerfile, inputsOf(buildArgs)),
    contexts: new Set(contexts),
  });
}

/** The scope at the end of each stage, as a builder makes it. */
function scopesOf(text: string, { buildArgs = {}, env = [], target }: ScopeOptions = {}): StageScope[] {
  const dockerfile = parse(text);
  const inputs = inputsOf(buildArgs, target);
  const globals = globalVariables(dockerfile, inputs);
  const graph = new StageGraph(dockerfile, { globals });
  const scopes: StageScope[] = [];
  for (const { base, stage } of graph.stages) {
    const parent = base.kind === 'stage' ? scopes[base.index]! : undefined;
    const scope = new StageScope({ inputs, globals, env: parent?.env ?? env, parent });
    for (const instruction of stage.instructions) {
      if (instruction.keyword === 'ARG') scope.declare(instruction);
      if (instruction.keyword === 'ENV') scope.setEnv(expandInstruction(instruction, scope.environment).pairs);
    }
    scopes.push(scope);
  }
  return scopes;
}

interface ScopeOptions {
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly env?: readonly string[];
  readonly target?: string;
}

describe('StageGraph', () => {
  const bases: readonly [vector: string, text: string, buildArgs: Record<string, string>, want: object[]][] = [
    ['A1 default', 'ARG tag=no\nFROM busybox:${tag}', {}, [{ kind: 'image', reference: 'busybox:no' }]],
    [
      'A1 build arg',
      'ARG tag=no\nFROM busybox:${tag}',
      { tag: 'latest' },
      [{ kind: 'image', reference: 'busybox:latest' }],
    ],
    ['A2', 'ARG a1="foo bar" a2=box\nARG a3="$a2-foo"\nFROM busy$a2', {}, [{ kind: 'image', reference: 'busybox' }]],
    ['scratch', 'FROM scratch', {}, [{ kind: 'scratch' }]],
    [
      'S1 a stage hides an image, later ones do not count',
      'FROM golang\nFROM alpine AS golang\nFROM golang',
      {},
      [
        { kind: 'image', reference: 'golang' },
        { kind: 'image', reference: 'alpine' },
        { kind: 'stage', index: 1 },
      ],
    ],
  ];
  for (const [vector, text, buildArgs, want] of bases)
    it(vector, () => expect(graphOf(text, buildArgs).stages.map(({ base }) => base)).to.deep.equal(want));

  const FILE = [
    'FROM a AS one',
    'FROM b AS two',
    'COPY --from=ONE x /',
    'FROM c AS unused',
    'FROM one',
    'COPY --from=1 y /',
    'COPY --from=busybox z /',
    'RUN --mount=type=cache,target=/c --mount=from=two,target=/t x',
  ].join('\n');

  it('S1, S2: a target needs its base, what it copies from and what it mounts; nothing else', () => {
    const graph = graphOf(FILE);
    expect(graph.stages.map(({ needs }) => needs)).to.deep.equal([[], [0], [], [0, 1]]);
    const needed = (name?: string): number[] => graph.needed(graph.target(name)).map(({ stage }) => stage.index);
    expect(needed()).to.deep.equal([0, 1, 3]);
    expect(needed('TWO')).to.deep.equal([0, 1]);
    expect(needed('2')).to.deep.equal([2]);
  });

  it('an unknown target is refused with a suggestion', () => {
    const graph = graphOf(FILE);
    expect(() => graph.target('unsued'))
      .to.throw(DockerfileError)
      .with.property('hint', 'did you mean unused?');
  });

  it('S1: what is no stage is an image; a build context hides both', () => {
    const graph = graphOf(FILE, {}, ['busybox', 'one']);
    const { stage } = graph.target();
    const source = (from: string): object => graph.source(from, stage, stage.instructions[0]!);
    expect(source('busybox')).to.deep.equal({ kind: 'context', name: 'busybox' });
    expect(source('one')).to.deep.equal({ kind: 'context', name: 'one' });
    expect(source('two')).to.deep.equal({ kind: 'stage', index: 1 });
    expect(source('alpine:3')).to.deep.equal({ kind: 'image', reference: 'alpine:3' });
    expect(graph.needed(graph.target()).map(({ stage: { index } }) => index)).to.deep.equal([1, 3]);
  });

  it('O1: triggers of a stage base count among what its child needs', () => {
    const graph = graphOf('FROM a AS x\nFROM b AS base\nONBUILD COPY --from=x f /\nFROM base');
    expect(graph.stages.map(({ needs }) => needs)).to.deep.equal([[], [], [0, 1]]);
  });

  const bad: readonly [vector: string, text: string, message: RegExp, line: number][] = [
    ['C23', 'FROM a\nCOPY --from=later x /\nFROM b AS later', /needs to be defined before/, 2],
    ['C23 number', 'FROM a\nCOPY --from=1 x /\nFROM b', /needs to be defined before/, 2],
    ['itself', 'FROM a AS me\nCOPY --from=me x /', /cannot copy from itself/, 2],
    ['no such number', 'FROM a\nCOPY --from=7 x /', /no stage 7/, 2],
    ['mount of a later stage', 'FROM a\nRUN --mount=from=later,target=/x y\nFROM b AS later', /needs to be defined/, 2],
    ['empty base', 'ARG X\nFROM $X', /base \$X is empty/, 2],
    ['A4', 'FROM ${FOO:?"custom"}', /FOO: custom/, 1],
  ];
  for (const [vector, text, message, line] of bad)
    it(`${vector}: is refused`, () =>
      expect(() => graphOf(text))
        .to.throw(DockerfileError, message)
        .with.property('line', line));

  it('expands the platform', () => {
    const { stages } = graphOf('FROM --platform=$BUILDPLATFORM a\nFROM b');
    expect(stages.map(({ platform }) => platform)).to.deep.equal(['linux/amd64', undefined]);
  });
});

describe('StageScope', () => {
  const cases: readonly [
    vector: string,
    text: string,
    options: ScopeOptions,
    want: Record<string, string | undefined>,
  ][] = [
    [
      'A2',
      'ARG a1="foo bar" a2=box\nARG a3="$a2-foo"\nFROM busy$a2\nARG a3 a4="123 456" a1',
      {},
      { a1: 'foo bar', a3: 'box-foo', a4: '123 456', a2: undefined },
    ],
    ['A3', 'ARG g=1\nFROM a\nENV x=$g', {}, { g: undefined, x: '' }],
    ['A4', 'FROM a\nARG FOO=${FOO:?"custom"}', { buildArgs: { FOO: 'x' } }, { FOO: 'x' }],
    ['A5', 'FROM a\nARG FOO\nARG BAR=', {}, { FOO: undefined, BAR: '' }],
    ['A6 default', 'FROM a\nARG my\nENV my "my=${my:-def}"', {}, { my: '"my=def"'.slice(1, -1) }],
    ['A6 empty build arg', 'FROM a\nARG my\nENV my "my=${my:-def}"', { buildArgs: { my: '' } }, { my: 'my=def' }],
    ['A7 not declared', 'FROM a\nENV X=env', { buildArgs: { X: 'arg' } }, { X: 'env' }],
    ['A7 declared', 'FROM a\nARG X=def\nENV X=env', { buildArgs: { X: 'arg' } }, { X: 'env' }],
    ['an ARG behind an ENV counts', 'FROM a\nARG X=def', { env: ['X=base'], buildArgs: { X: 'arg' } }, { X: 'arg' }],
    ['ARG default', 'FROM a\nARG x=1\nARG y=${x}2', {}, { y: '12' }],
    ['default over the global value', 'ARG x=1\nFROM a\nARG x=2', {}, { x: '2' }],
    ['build arg over both', 'ARG x=1\nFROM a\nARG x=2', { buildArgs: { x: '3' } }, { x: '3' }],
    ['A10 unnamed', 'FROM a\nARG TARGETSTAGE BUILDVARIANT', {}, { TARGETSTAGE: 'default', BUILDVARIANT: '' }],
    ['A10 target', 'FROM a AS foo\nARG TARGETSTAGE', { target: 'foo' }, { TARGETSTAGE: 'foo' }],
    ['platform arguments must be declared', 'FROM a', {}, { TARGETARCH: undefined }],
    [
      'platform arguments',
      'FROM a\nARG TARGETPLATFORM TARGETARCH',
      {},
      { TARGETPLATFORM: 'linux/amd64', TARGETARCH: 'amd64' },
    ],
    ['overridden platform argument', 'FROM a\nARG TARGETARCH', { buildArgs: { TARGETARCH: 'x' } }, { TARGETARCH: 'x' }],
    ['A13', 'FROM a AS A\nARG x=1\nENV e=2\nFROM A AS B', {}, { x: '1', e: '2' }],
  ];
  for (const [vector, text, options, want] of cases)
    it(vector, () => {
      const { environment } = scopesOf(text, options).at(-1)!;
      const actual = Object.fromEntries(Object.keys(want).map((name) => [name, environment.get(name)]));
      expect(actual).to.deep.equal(want);
    });

  it('A4: a default that must be given is refused', () => {
    expect(() => scopesOf('FROM a\nARG FOO=${FOO:?"custom"}')).to.throw(DockerfileError, /^Dockerfile:2: FOO: custom/);
  });

  it('A8: proxies reach RUN only, unless they are declared', () => {
    const options = { buildArgs: { HTTP_PROXY: 'p', no_proxy: 'n', OTHER: 'o' } };
    const [hidden] = scopesOf('FROM a', options);
    expect([hidden!.proxies, hidden!.args]).to.deep.equal([
      [
        ['HTTP_PROXY', 'p'],
        ['no_proxy', 'n'],
      ],
      [],
    ]);
    const [declared] = scopesOf('FROM a\nARG HTTP_PROXY', options);
    expect(declared!.args).to.deep.equal([['HTTP_PROXY', 'p']]);
    expect(declared!.proxies).to.deep.equal([['no_proxy', 'n']]);
  });

  it('the config keeps ENV alone', () => {
    const [scope] = scopesOf('FROM a\nARG x=1\nENV e=$x PATH=$PATH:/y', { env: ['PATH=/b', 'z=0'] });
    expect(scope!.env).to.deep.equal(['PATH=/b:/y', 'z=0', 'e=1']);
    expect(scope!.args).to.deep.equal([['x', '1']]);
  });
});
