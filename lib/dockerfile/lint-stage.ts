import { posix } from 'node:path';
import { DockerfileError } from '../errors.js';
import { expandInstruction } from './expand-instruction.js';
import type { IgnorePatterns } from './ignore-patterns.js';
import type { AddInstruction, CopyInstruction, ExposeInstruction, Keyword, StageInstruction } from './instructions.js';
import { expand, type Expansion } from './lexer.js';
import { lintDescription, meant } from './lint-from.js';
import type { LintReport } from './lint-report.js';
import { closestName } from './problem.js';
import { parsePort } from './ports.js';
import type { StageScope } from './stage-scope.js';

/** The known state at the start of a stage and after each of its instructions. */
export interface LintState {
  readonly scope: StageScope;
  /** True if the base's variables are known. */
  readonly isEnvKnown: boolean;
  hasShell: boolean;
  hasWorkdir: boolean;
}

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** Rules for the instructions of one stage. Modifies `state`. */
export function lintInstructions(
  instructions: readonly StageInstruction[],
  state: LintState,
  { report, ignore }: { readonly report: LintReport; readonly ignore: IgnorePatterns | undefined },
): void {
  const last = new Map<Keyword, StageInstruction>();
  for (const instruction of instructions) {
    if (['CMD', 'ENTRYPOINT', 'HEALTHCHECK'].includes(instruction.keyword)) {
      const before = last.get(instruction.keyword);
      if (before !== undefined)
        report.warn(
          'MultipleInstructionsDisallowed',
          before,
          `another ${instruction.keyword} in the same stage replaces this one`,
        );
      last.set(instruction.keyword, instruction);
    }
    try {
      lintInstruction(instruction, state, { report, ignore });
    } catch (error) {
      // The build itself reports failed expansions.
      if (!(error instanceof DockerfileError)) throw error;
    }
  }
}

function lintInstruction(
  unexpanded: StageInstruction,
  state: LintState,
  { report, ignore }: { readonly report: LintReport; readonly ignore: IgnorePatterns | undefined },
): void {
  const { scope } = state;
  const unset = new Set<string>();
  const onWord = (expansion: Expansion): void => expansion.unset.forEach((name) => unset.add(name));
  if (unexpanded.keyword === 'EXPOSE') lintPorts(unexpanded, scope, report);
  const environment = new Map(scope.environment);
  const declared = new Set(scope.args.map(([name]) => name));
  const instruction =
    unexpanded.keyword === 'ARG'
      ? scope.declare(unexpanded, onWord)
      : expandInstruction(unexpanded, environment, onWord);
  for (const name of unset) {
    const names = [...environment.keys()];
    const isMisspelt = closestName(name, names) !== undefined;
    if (!declared.has(name) && (state.isEnvKnown || isMisspelt))
      report.warn('UndefinedVar', instruction, `the variable ${name} is not defined${meant(name, names)}`);
  }
  lintExpanded(instruction, state, report);
  if (ignore === undefined || (instruction.keyword !== 'COPY' && instruction.keyword !== 'ADD')) return;
  lintSources(instruction, ignore, report);
}

function lintExpanded(instruction: StageInstruction, state: LintState, report: LintReport): void {
  switch (instruction.keyword) {
    case 'ENV':
    case 'LABEL':
      if (instruction.isLegacy)
        report.warn(
          'LegacyKeyValueFormat',
          instruction,
          `write ${instruction.keyword} NAME=VALUE, with an equals sign`,
        );
      if (instruction.keyword === 'LABEL') return;
      warnOfSecrets(
        instruction,
        instruction.pairs.map(({ key }) => key),
        report,
      );
      state.scope.setEnv(instruction.pairs);
      return;
    case 'ARG': {
      const names = instruction.args.map(({ name }) => name);
      warnOfSecrets(instruction, names, report);
      lintDescription('ARG', names, instruction, report);
      return;
    }
    case 'CMD':
    case 'ENTRYPOINT':
      if (instruction.command.form === 'shell' && !state.hasShell)
        report.warn(
          'JSONArgsRecommended',
          instruction,
          `${instruction.keyword} should be a JSON list: a shell does not pass signals on`,
        );
      return;
    case 'SHELL':
      state.hasShell = true;
      return;
    case 'WORKDIR':
      if (!state.hasWorkdir && !instruction.path.startsWith('/'))
        report.warn('WorkdirRelativePath', instruction, `where ${instruction.path} leads depends on the base image`);
      state.hasWorkdir = true;
      return;
    case 'MAINTAINER':
      report.warn(
        'MaintainerDeprecated',
        instruction,
        'MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=…',
      );
      return;
    default:
  }
}

function warnOfSecrets(instruction: StageInstruction, names: readonly string[], report: LintReport): void {
  for (const name of names.filter((key) => SECRET.test(key) && !NO_SECRET.test(key)))
    report.warn(
      'SecretsUsedInArgOrEnv',
      instruction,
      `${instruction.keyword} ${name} seems to hold a secret, which the image would show: use RUN --mount=type=secret`,
    );
}

function lintPorts({ ports, escape, ...place }: ExposeInstruction, scope: StageScope, report: LintReport): void {
  const instruction = { ...place, escape };
  try {
    for (const word of ports.flatMap((port) => expand(port, scope.environment, { escape }).words)) {
      const { protocol, hasHost } = parsePort(word);
      if (protocol !== protocol.toLowerCase())
        report.warn('ExposeProtoCasing', instruction, `the protocol of ${word} should be in lower case`);
      if (hasHost)
        report.warn('ExposeInvalidFormat', instruction, `${word} should not have an address or port of the host`);
    }
  } catch {
    // Expansion reports it with its position.
  }
}

function lintSources(instruction: CopyInstruction | AddInstruction, ignore: IgnorePatterns, report: LintReport): void {
  // With exceptions, only the files show whether part of a directory remains.
  if (ignore.hasExceptions || (instruction.keyword === 'COPY' && instruction.from !== undefined)) return;
  for (const source of instruction.sources.filter((path) => !/^[a-z]+:\/\/|^git@/i.test(path))) {
    const path = posix.normalize(source).replace(/^\//, '').replace(/\/$/, '');
    const isRoot = path === '' || path === '.';
    if (isRoot ? ignore.excludesAll : ignore.isExcluded(path))
      report.warn('CopyIgnoredFile', instruction, `the ignore file excludes ${source}`);
  }
}
