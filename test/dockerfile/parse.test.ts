import { expect } from 'chai';
import { DockerfileError } from '../../lib/errors.js';
import {
  expandInstruction,
  globalVariables,
  historyText,
  IgnorePatterns,
  lint,
  mountsOf,
  parseDockerfile,
  parseTrigger,
  StageGraph,
  StageScope,
  type Dockerfile,
  type Environment,
  type Instruction,
  type RunInstruction,
  type StageInstruction,
} from '../../lib/dockerfile/index.js';
import { randomSource } from '../helpers/random-source.js';

const amd64 = { os: 'linux', architecture: 'amd64' };
const INPUTS = { buildArgs: new Map([['A', '$']]), buildPlatform: amd64, targetPlatform: amd64 };

/** Of random Dockerfiles; more for a soak. */
const ROUNDS = Number(process.env.IMGTOOL_TEST_DOCKERFILES ?? 4_000);

function parse(text: string): Dockerfile {
  return parseDockerfile(Buffer.from(text), { file: 'Dockerfile' });
}

/** The instructions of a stage on scratch; the file's second line is their first. */
function instructions(text: string): readonly StageInstruction[] {
  return parse(`FROM scratch\n${text}`).stages[0]!.instructions;
}

/** The fields of an instruction without its place. */
function fields(instruction: Instruction): object {
  const { file: _f, start: _s, end: _e, text: _t, written: _w, escape: _x, comments: _c, ...rest } = instruction;
  return rest;
}

describe('parseDockerfile', () => {
  const good: readonly [vector: string, text: string, want: object[]][] = [
    [
      'P4 broken list',
      `CMD ['a']\nCMD ["a"\nRUN ["a", "b"]`,
      [
        { keyword: 'CMD', command: { form: 'shell', text: `['a']` } },
        { keyword: 'CMD', command: { form: 'shell', text: '["a"' } },
        {
          ...{ keyword: 'RUN', command: { form: 'exec', words: ['a', 'b'] }, heredocs: [], mounts: [] },
          ...{ network: 'default', security: 'sandbox', devices: [] },
        },
      ],
    ],
    [
      'P5 old form',
      'ENV SCUBA 1 DUBA 3',
      [{ keyword: 'ENV', pairs: [{ key: 'SCUBA', value: '1 DUBA 3' }], isLegacy: true }],
    ],
    ['P6', '# comment \\\nUSER a', [{ keyword: 'USER', user: 'a' }]],
    ['P7', 'USER a\\\n# comment\n\n  # another \\\nb', [{ keyword: 'USER', user: 'ab' }]],
    ['P9', 'USER a \\  \t\n b', [{ keyword: 'USER', user: 'a  b' }]],
    [
      'double backslash does not continue',
      'USER a\\\\\nUSER b',
      [
        { keyword: 'USER', user: 'a\\\\' },
        { keyword: 'USER', user: 'b' },
      ],
    ],
    ['backslash at the end of the file', 'USER a\\', [{ keyword: 'USER', user: 'a' }]],
    [
      'P10 CRLF',
      'USER a\r\nWORKDIR /b \\\r\nc\r\n',
      [
        { keyword: 'USER', user: 'a' },
        { keyword: 'WORKDIR', path: '/b c' },
      ],
    ],
    ['P18', 'COPY -- --odd /d', [copy({ sources: ['--odd'], destination: '/d' })]],
    [
      'P19 zero',
      'HEALTHCHECK --interval=0 --timeout=1m30s --start-period=1.5s --retries=0 CMD ["x"]',
      [
        {
          ...{ keyword: 'HEALTHCHECK', command: { form: 'exec', words: ['x'] } },
          ...{ timeout: 90_000_000_000, startPeriod: 1_500_000_000 },
        },
      ],
    ],
    [
      'flags of COPY',
      'COPY --from=base --chown="a b" --chmod=755 --link --parents --exclude=*.md --exclude=x a b /d/',
      [
        {
          ...copy({ sources: ['a', 'b'], destination: '/d/' }),
          ...{ from: 'base', chown: 'a b', chmod: '755', link: true, parents: true, excludes: ['*.md', 'x'] },
        },
      ],
    ],
    ['JSON form of COPY', 'COPY ["a b", "c d/"]', [copy({ sources: ['a b'], destination: 'c d/' })]],
    [
      'flags of ADD',
      'ADD --checksum=sha256:x --keep-git-dir --unpack=false https://x/y /z',
      [
        {
          ...{ keyword: 'ADD', sources: ['https://x/y'], heredocs: [], destination: '/z', link: false, excludes: [] },
          ...{ checksum: 'sha256:x', keepGitDir: true, unpack: false },
        },
      ],
    ],
    [
      'quotes of ENV',
      `ENV a=1 b='x y' c="z" d=\\ e`,
      [
        {
          keyword: 'ENV',
          pairs: [
            { key: 'a', value: '1' },
            { key: 'b', value: `'x y'` },
            { key: 'c', value: '"z"' },
            { key: 'd', value: '\\ e' },
          ],
          isLegacy: false,
        },
      ],
    ],
    [
      'ARG',
      'ARG a b= c="d e"',
      [{ keyword: 'ARG', args: [{ name: 'a' }, { name: 'b', value: '' }, { name: 'c', value: '"d e"' }] }],
    ],
    [
      'VOLUME',
      'VOLUME /a /b\nVOLUME ["/c d"]',
      [
        { keyword: 'VOLUME', paths: ['/a', '/b'] },
        { keyword: 'VOLUME', paths: ['/c d'] },
      ],
    ],
    ['SHELL', 'SHELL ["/bin/bash", "-c"]', [{ keyword: 'SHELL', shell: ['/bin/bash', '-c'] }]],
    ['H12', 'ENV x=<<EOF', [{ keyword: 'ENV', pairs: [{ key: 'x', value: '<<EOF' }], isLegacy: false }]],
    ['A12', 'ENV myenv foo%sbar', [{ keyword: 'ENV', pairs: [{ key: 'myenv', value: 'foo%sbar' }], isLegacy: true }]],
    ['HEALTHCHECK NONE', 'HEALTHCHECK NONE', [{ keyword: 'HEALTHCHECK', command: 'none' }]],
  ];
  for (const [vector, text, want] of good) it(vector, () => expect(instructions(text).map(fields)).to.deep.equal(want));

  const bad: readonly [vector: string, text: string, message: RegExp, line?: number, hint?: RegExp][] = [
    ['P1 empty', '', /^Dockerfile: the file has no instructions/],
    ['P1 comments', '# a\n\n# b\n', /^Dockerfile: the file has no instructions/],
    ['P2', 'ARG foo=bar', /no stages to build/],
    ['P3', 'FROM a\nENV PATH', /ENV must have two arguments/, 2],
    ['P4', 'FROM a\nCMD ["echo",["x"]]', /only strings/, 2],
    ['P5', 'FROM a\nENV a=1 b', /there is no = in "b"/, 2],
    ['P8 twice', '# escape=`\n# escape=\\\nFROM a', /escape is given twice/, 2],
    ['P8 other', '# escape=x\nFROM a', /escape character/, 1],
    ['P12', 'FROM a b', /one or three arguments/, 1],
    ['P12 name', 'FROM a AS 1x', /invalid name/, 1],
    ['P13 chain', 'FROM a\nONBUILD ONBUILD RUN x', /ONBUILD is not allowed/, 2],
    ['P13 FROM', 'FROM a\nONBUILD FROM x', /FROM is not allowed/, 2],
    ['P14', 'FROM a\nCOPY x', /COPY needs at least two arguments/, 2],
    ['P15', 'FROM a\n\nFOO bar', /^Dockerfile:3: unknown instruction "FOO"/, 3],
    ['P15 suggestion', 'FORM a', /unknown instruction "FORM"/, 1, /^did you mean FROM\?$/],
    ['P16 flag', 'FROM a\nRUN --mont=type=tmpfs x', /unknown flag --mont/, 2, /^did you mean --mount\?$/],
    ['P16 key', 'FROM a\nRUN --mount=typ=tmpfs x', /unknown key "typ"/, 2, /^did you mean type\?$/],
    ['P16 type', 'FROM a\nRUN --mount=type=tmp x', /type is not "tmp"/, 2, /^did you mean tmpfs\?$/],
    ['P17 twice', 'FROM a\nCOPY --link --link a b', /--link is given twice/, 2],
    ['P17 empty', 'FROM a\nCOPY --link= a b', /--link has no value/, 2],
    ['P17 boolean', 'FROM a\nCOPY --link=yes a b', /true or false/, 2],
    ['P19 NONE', 'FROM a\nHEALTHCHECK NONE x', /NONE takes no arguments/, 2],
    ['P19 time', 'FROM a\nHEALTHCHECK --interval=1us CMD x', /at least 1ms/, 2],
    ['P19 unit', 'FROM a\nHEALTHCHECK --interval=1 CMD x', /not a duration/, 2],
    ['H10', 'FROM a\nRUN <<EOF\nx', /<<EOF is not terminated/, 2],
    ['H11', 'FROM a\nCOPY a <<EOF\nEOF', /heredoc as a destination/, 2],
    ['A11 COPY', 'FROM a\nCOPY --from=$X a b', /--from does not expand/, 2],
    ['A11 mount', 'FROM a\nRUN --mount=from=$X,target=/x y', /from does not expand/, 2],
    ['no stage', 'RUN x\nFROM a', /only ARG may come before/, 1],
    ['ENV rejects flags', 'FROM a\nENV --x a=b', /unknown flag --x/, 2, /takes no flags/],
    ['SHELL', 'FROM a\nSHELL sh -c', /SHELL needs a JSON list/, 2],
    ['check', '# check=skp=x\nFROM a', /not a check option/, 1, /did you mean skip/],
    ['long line', `FROM a\nRUN ${'x'.repeat(65_536)}`, /longer than 65535 bytes/, 2],
    ['network', 'FROM a\nRUN --network=hots x', /--network is not "hots"/, 2, /did you mean host/],
    ['continued', 'FROM a\nRUN x \\\n y\nNOPE', /unknown instruction "NOPE"/, 4],
  ];
  for (const [vector, text, message, line, hint] of bad)
    it(`${vector}: refuses it`, () => {
      const error = failure(() => parse(text));
      expect(error.message).to.match(message);
      expect(error.line).to.equal(line);
      if (hint !== undefined) expect(error.hint).to.match(hint);
    });

  it('an error holds the line, its place and its file', () => {
    const error = failure(() => parse('FROM a\n  FOO bar\n'));
    expect([error.file, error.line, error.column, error.text]).to.deep.equal(['Dockerfile', 2, 3, '  FOO bar']);
    expect(error.message).to.equal('Dockerfile:2: unknown instruction "FOO"');
  });

  it('P7: a blank line in a continuation is remembered', () => {
    expect(parse('FROM a\nRUN x \\\n\n y\n').emptyContinuations).to.deep.equal([3]);
  });

  it('P8: the escape character may be a backtick', () => {
    const [workdir, user] = parse('# escape=`\nFROM a\nWORKDIR c:\\`\nx\nUSER y\\').stages[0]!.instructions;
    expect(fields(workdir!)).to.deep.equal({ keyword: 'WORKDIR', path: 'c:\\x' });
    expect(expandInstruction(user!, new Map())).to.include({ user: 'y\\' });
  });

  for (const before of ['', '# a comment', '# unknown=x'])
    it(`P8: behind ${JSON.stringify(before)} a directive is a comment`, () => {
      expect(parse(`${before}\n# escape=\`\nFROM a`).escape).to.equal('\\');
    });

  it('P10: a byte order mark is dropped', () => {
    expect(parse('\ufeff# escape=`\r\nFROM a\r\n')).to.deep.include({ escape: '`', lines: ['# escape=`', 'FROM a'] });
  });

  it('P11: keywords may be in any case', () => {
    const { stages } = parse('from busybox as Base\nCopy a b\n');
    expect(stages[0]).to.include({ name: 'base' });
    expect(stages[0]!.from).to.include({ base: 'busybox', writtenName: 'Base', written: 'from' });
    expect(stages[0]!.instructions[0]).to.include({ keyword: 'COPY', written: 'Copy' });
  });

  it('reads syntax and check, also behind a shebang', () => {
    const { syntax, check } = parse('#!/x\n# Syntax = docker/dockerfile:1 \n# check=skip=A, B;error=true\nFROM a');
    expect(syntax).to.equal('docker/dockerfile:1');
    expect(check).to.deep.equal({ skip: ['A', 'B'], experimental: [], error: true });
  });

  it('says where instructions begin and end, and what is written above them', () => {
    const [run] = instructions('# first\n# why\n  RUN a \\\n  b <<EOF\n x\nEOF\n');
    expect(run).to.deep.include({
      start: { line: 4, column: 3 },
      end: { line: 7, column: 4 },
      text: 'RUN a   b <<EOF',
      comments: ['first', 'why'],
    });
  });

  it('survives bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('# caf'), Buffer.of(0xe9), Buffer.from('\nFROM a\n')]);
    expect(parseDockerfile(bytes, { file: 'x' }).stages).to.have.length(1);
  });

  it('a random Dockerfile never meets another error than DockerfileError', () => {
    const { seed, below } = randomSource();
    const pieces = PIECES.split('~');
    let parsed = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = Array.from({ length: 1 + below(25) }, () => pieces[below(pieces.length)]!).join('');
      const source = below(2) === 0 ? `FROM a\n${text}` : text;
      try {
        const dockerfile = parse(source);
        parsed += 1;
        lint(dockerfile, { inputs: INPUTS, ignore: IgnorePatterns.parse('a*\n**/b', { file: 'i' }) });
        const globals = globalVariables(dockerfile, INPUTS);
        const graph = new StageGraph(dockerfile, { globals });
        graph.needed(graph.target());
        for (const { stage } of graph.stages) {
          const scope = new StageScope({ inputs: INPUTS, globals, env: ['A=x y'] });
          for (const instruction of stage.instructions) {
            if (instruction.keyword === 'ARG') scope.declare(instruction);
            if (instruction.keyword === 'RUN') mountsOf(instruction, scope.environment);
            historyText(expandInstruction(instruction, scope.environment));
          }
        }
      } catch (error) {
        if (!(error instanceof DockerfileError))
          throw new Error(`seed ${seed}: ${JSON.stringify(source)}`, { cause: error });
      }
    }
    expect(parsed, 'files without errors').to.be.greaterThan(ROUNDS / 50);
  });
});

describe('expandInstruction', () => {
  const cases: readonly [vector: string, text: string, environment: Environment, want: object][] = [
    ['P20 range', 'EXPOSE 8000-8002', new Map(), { ports: ['8000/tcp', '8001/tcp', '8002/tcp'] }],
    ['P20 case', 'EXPOSE 5000/UDP', new Map(), { ports: ['5000/udp'] }],
    [
      'EXPOSE splits after expansion',
      'EXPOSE $P',
      new Map([['P', '3000 4000/udp']]),
      { ports: ['3000/tcp', '4000/udp'] },
    ],
    ['EXPOSE drops the host', 'EXPOSE 127.0.0.1:80:8080 [::1]:1:2', new Map(), { ports: ['8080/tcp', '2/tcp'] }],
    [
      'ENV sees the variables before it',
      'ENV a=1 b=$a',
      new Map([['a', '0']]),
      {
        pairs: [
          { key: 'a', value: '1' },
          { key: 'b', value: '0' },
        ],
      },
    ],
    ['keys of LABEL', 'LABEL "a.$x"="b c"', new Map([['x', 'y']]), { pairs: [{ key: 'a.y', value: 'b c' }] }],
    [
      'COPY',
      'COPY --chown=$u --chmod=$m --exclude=$e $s /d/$s',
      new Map([
        ['u', '1:2'],
        ['m', '644'],
        ['s', 'src'],
      ]),
      {
        ...{ sources: ['src'], destination: '/d/src', chown: '1:2', chmod: '644', excludes: ['$e'] },
      },
    ],
    ['C2', 'COPY f $empty', new Map(), { sources: ['f'], destination: '' }],
    ['STOPSIGNAL', 'STOPSIGNAL $s', new Map([['s', 'sigterm']]), { signal: 'sigterm' }],
    ['STOPSIGNAL with a number', 'STOPSIGNAL 9', new Map(), { signal: '9' }],
    ['STOPSIGNAL real time', 'STOPSIGNAL SIGRTMIN+3', new Map(), { signal: 'SIGRTMIN+3' }],
    ['RUN is left alone', 'RUN echo $x', new Map([['x', 'y']]), { command: { form: 'shell', text: 'echo $x' } }],
    ['VOLUME', 'VOLUME ["$x"]', new Map([['x', '/y']]), { paths: ['/y'] }],
  ];
  for (const [vector, text, environment, want] of cases)
    it(vector, () => expect(expandInstruction(instructions(text)[0]!, environment)).to.deep.include(want));

  const bad: readonly [vector: string, text: string, message: RegExp][] = [
    ['P20 protocol', 'EXPOSE 80/xyz', /not a port/],
    ['P20 number', 'EXPOSE 70000', /not a port/],
    ['P20 order', 'EXPOSE 9-3', /not a port/],
    ['EXPOSE lengths', 'EXPOSE 1-3:5-6', /differ in length/],
    ['STOPSIGNAL', 'STOPSIGNAL SIGTREM', /not a signal/],
    ['WORKDIR', 'WORKDIR ${x:?no x}', /x: no x/],
  ];
  for (const [vector, text, message] of bad)
    it(`${vector}: refuses ${text}`, () => {
      const error = failure(() => expandInstruction(instructions(text)[0]!, new Map()));
      expect(error.message).to.match(message);
      expect(error.line).to.equal(2);
    });
});

describe('mountsOf', () => {
  const mounts = (text: string, environment: Environment = new Map()): object[] =>
    mountsOf(instructions(`RUN ${text} x`)[0] as RunInstruction, environment);
  const cases: readonly [vector: string, text: string, want: object][] = [
    ['M1', '--mount=target=/x', { type: 'bind', target: '/x', readOnly: true, required: false }],
    ['M1 rw', '--mount=target=/x,rw', { type: 'bind', target: '/x', readOnly: false, required: false }],
    [
      'M2',
      '--mount=type=tmpfs,target=/t,size=128m',
      {
        ...{ type: 'tmpfs', target: '/t', readOnly: false, required: false, size: 134_217_728 },
      },
    ],
    [
      'M4',
      '--mount=type=cache,dst=/c,uid=1001,gid=1002,mode=0751,sharing=LOCKED,id=i',
      {
        ...{ type: 'cache', target: '/c', readOnly: false, required: false, id: 'i', sharing: 'locked' },
        ...{ mode: 0o751, uid: 1001, gid: 1002 },
      },
    ],
    [
      'M7',
      '--mount=type=secret,id=s,env=TOKEN,required',
      {
        ...{ type: 'secret', id: 's', env: 'TOKEN', required: true, readOnly: true },
      },
    ],
    [
      'quoted field',
      `--mount='type=cache,"target=/a,b"'`,
      { type: 'cache', target: '/a,b', readOnly: false, required: false },
    ],
    ['expanded', '--mount=type=cache,target=$t', { type: 'cache', target: '/v', readOnly: false, required: false }],
  ];
  for (const [vector, text, want] of cases)
    it(vector, () => expect(mounts(text, new Map([['t', '/v']]))).to.deep.equal([want]));

  for (const [text, message] of [
    ['--mount=type=bind,target=/x,size=1', /size is not for a mount of type bind/],
    ['--mount=type=tmpfs,target=/x,mode=1', /mode is not for a mount of type tmpfs/],
    ['--mount=type=bind,sharing=shared', /sharing is not for/],
    ['--mount=type=secret', /neither id nor target/],
    ['--mount=type=secret,id=a,src=b', /both id and source/],
    ['--mount=type=cache,target=/x,mode=9', /mode is not "9"/],
    ['--mount=type=cache,target', /target has no value/],
    ['--mount=ro=maybe', /not a boolean/],
  ] as const)
    it(`refuses ${text}`, () => expect(() => mounts(text)).to.throw(DockerfileError, message));
});

describe('parseTrigger', () => {
  it('reads an instruction of a base image, heredocs included', () => {
    const trigger = parseTrigger('COPY <<EOF /x\nbody\nEOF', { base: 'app' });
    expect(trigger).to.include({ keyword: 'COPY', destination: '/x', file: 'ONBUILD of app' });
    expect(trigger.keyword === 'COPY' && trigger.heredocs[0]!.body).to.equal('body\n');
  });

  for (const text of ['', 'RUN a\nRUN b', 'FROM x', 'ONBUILD RUN x', 'NOPE'])
    it(`refuses ${JSON.stringify(text)}`, () =>
      expect(() => parseTrigger(text, { base: 'app' })).to.throw(DockerfileError, /^ONBUILD of app:/));
});

function copy(paths: { readonly sources: string[]; readonly destination: string }): object {
  return { keyword: 'COPY', ...paths, heredocs: [], link: false, excludes: [], parents: false };
}

function failure(body: () => unknown): DockerfileError {
  try {
    body();
  } catch (error) {
    expect(error).to.be.instanceOf(DockerfileError);
    return error as DockerfileError;
  }
  throw new Error('no error');
}

/** What random Dockerfiles are made of. */
const PIECES =
  'FROM ~RUN ~COPY ~ADD ~ENV ~ARG ~LABEL ~EXPOSE ~VOLUME ~USER ~CMD ~SHELL ~HEALTHCHECK ~ONBUILD ~STOPSIGNAL ~WORKDIR ~\n~\n~\n~\n~ ~ ~' +
  '\\~\\\n~\r\n~#~# escape=`\n~# check=skip=all\n~"~\'~$~${~}~:-~:?~##~%~/~//~[~]~["a"]~,~=~--~--from=~--mount=~type=~' +
  'cache~target=/x~--chmod=~<<~<<-~EOF~\nEOF\n~a~b~A~$A~1~80~8000-9000~/tcp~*~?~é~\u{1f600}~\0~\t~NONE~CMD~AS~scratch~`~!~--interval=~1s~@';
