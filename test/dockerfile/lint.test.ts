import { expect } from 'chai';
import { DockerfileError } from '../../lib/errors.js';
import {
  IgnorePatterns,
  lint,
  LINT_RULES,
  lintError,
  parseDockerfile,
  type LintOptions,
  type LintWarning,
} from '../../lib/dockerfile/index.js';

const amd64 = { os: 'linux', architecture: 'amd64' };
const inputs = { buildArgs: new Map<string, string>(), buildPlatform: amd64, targetPlatform: amd64 };

function warnings(text: string, options: Partial<LintOptions> = {}): LintWarning[] {
  return lint(parseDockerfile(Buffer.from(text), { file: 'Dockerfile' }), { inputs, ...options });
}

const shown = (text: string, options?: Partial<LintOptions>): string[] =>
  warnings(text, options).map(({ rule, line }) => `${rule} ${line}`);

const ignoring = (text: string): Partial<LintOptions> => ({
  ignore: IgnorePatterns.parse(text, { file: '.dockerignore' }),
});

describe('lint', () => {
  const base = { env: ['JAVA=/j'], platform: { os: 'linux', architecture: 'arm64' }, hasShell: true };
  const known = { bases: new Map([[0, base]]) };
  const cases: readonly [text: string, want: string[], options?: Partial<LintOptions>][] = [
    ['FROM a AS Base', ['StageNameCasing 1']],
    ['FROM a as base', ['FromAsCasing 1']],
    ['from a as base', []],
    ['FROM a\nRUN x \\\n\n  y', ['NoEmptyContinuation 3']],
    ['FROM a\nrun x\nRUN y', ['ConsistentInstructionCasing 2']],
    ['FROM a\nRun x', ['ConsistentInstructionCasing 2']],
    ['FROM a AS x\nFROM b AS x', ['DuplicateStageName 2']],
    ['FROM a AS scratch', ['ReservedStageName 1']],
    ['FROM a AS context', ['ReservedStageName 1']],
    ['FROM a\nCMD x\nENTRYPOINT y', ['JSONArgsRecommended 2', 'JSONArgsRecommended 3']],
    ['FROM a\nSHELL ["x"]\nCMD x', []],
    ['FROM a\nCMD x', ['InvalidBaseImagePlatform 1'], known],
    ['FROM a\nMAINTAINER x', ['MaintainerDeprecated 2']],
    ['ARG tag=1\nFROM a:${tga:-1}', ['UndefinedArgInFrom 2']],
    ['FROM --platform=$BUILDPLATFORM a', []],
    ['FROM a\nWORKDIR x\nWORKDIR y', ['WorkdirRelativePath 2']],
    ['FROM a\nWORKDIR /x\nWORKDIR y', []],
    ['FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y', []],
    ['FROM scratch\nCOPY $foo .', ['UndefinedVar 2']],
    ['FROM scratch\nARG foo\nCOPY $foo .', []],
    ['FROM scratch\nENV PATH=$PATH:/x', []],
    ['FROM a\nCOPY $foo .', []],
    ['FROM a\nARG version=1\nCOPY $verison .', ['UndefinedVar 3']],
    ['FROM --platform=linux/arm64 a AS arm64\nCOPY $JAVA $JAVB /', ['UndefinedVar 2'], known],
    [
      'FROM a\nCMD ["a"]\nCMD ["b"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE',
      ['MultipleInstructionsDisallowed 2', 'MultipleInstructionsDisallowed 4'],
    ],
    ['FROM a\nENV a b\nLABEL a b', ['LegacyKeyValueFormat 2', 'LegacyKeyValueFormat 3']],
    ['FROM --platform=$TARGETPLATFORM a', ['RedundantTargetPlatform 1']],
    ['FROM --platform=linux/arm64 a', ['FromPlatformFlagConstDisallowed 1']],
    ['FROM --platform=linux/arm64 a AS build-arm64', []],
    [
      'FROM a\nARG API_KEY\nENV DB_PASSWORD=x PUBLIC_KEY=y TOKENIZER=z',
      ['SecretsUsedInArgOrEnv 2', 'SecretsUsedInArgOrEnv 3'],
    ],
    ['ARG TAG\nFROM a:${TAG}', ['InvalidDefaultArgInFrom 2']],
    ['ARG TAG=1\nFROM a:${TAG}', []],
    ['FROM a\nCOPY x /\nADD https://h/x /\nCOPY --from=b x /', ['CopyIgnoredFile 2'], ignoring('x')],
    ['FROM a\nCOPY x /', [], ignoring('x\n!x/y')],
    ['FROM a\nCOPY . /', ['CopyIgnoredFile 2'], ignoring('*')],
    ['FROM a\nCOPY . /', [], ignoring('a')],
    [
      '# check=experimental=all\n# about\nFROM a AS x\n# y does\nARG y\n# this\nARG z',
      ['InvalidDefinitionDescription 3', 'InvalidDefinitionDescription 7'],
    ],
    ['# about\nFROM a AS x', []],
    ['FROM a\nEXPOSE 80/TCP', ['ExposeProtoCasing 2']],
    ['FROM a\nEXPOSE 127.0.0.1:80:80 1:2', ['ExposeInvalidFormat 2', 'ExposeInvalidFormat 2']],
    ['# check=skip=JSONArgsRecommended,StageNameCasing\nFROM a AS B\nCMD x\nMAINTAINER y', ['MaintainerDeprecated 4']],
    ['# check=skip=all\nFROM a AS B\nCMD x', []],
    ['FROM a\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y', ['JSONArgsRecommended 4']],
    ['FROM a\nUSER ${x:?must be set}', []],
    ['FROM a\nRUN x\nCOPY a b\n', []],
  ];
  for (const [text, want, options] of cases)
    it(JSON.stringify(text), () => expect(shown(text, options)).to.deep.equal(want));

  it('has a case for every rule', () => {
    const covered = new Set(cases.flatMap(([, want]) => want.map((warning) => warning.split(' ')[0]!)));
    expect([...covered].sort()).to.deep.equal([...LINT_RULES].sort());
  });

  it('suggests the variable that was meant', () => {
    expect(warnings('FROM scratch\nARG version=1\nCOPY $verison .')[0]!.message).to.include('did you mean version?');
  });

  it('warnings are an error when the file says so', () => {
    const text = '# check=error=true\nFROM a\nCMD x';
    const dockerfile = parseDockerfile(Buffer.from(text), { file: 'Dockerfile' });
    const error = lintError(dockerfile, lint(dockerfile, { inputs }));
    expect(error).to.be.instanceOf(DockerfileError);
    expect(error!.message).to.match(/^Dockerfile:3: JSONArgsRecommended: /);
    expect(lintError(dockerfile, [])).to.equal(undefined);
    const quiet = parseDockerfile(Buffer.from('FROM a\nCMD x'), { file: 'Dockerfile' });
    expect(lintError(quiet, lint(quiet, { inputs }))).to.equal(undefined);
  });
});
