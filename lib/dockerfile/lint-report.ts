import { DockerfileError } from '../errors.js';
import { parseCheck } from './directives.js';
import type { CheckDirective, Dockerfile, InstructionBase } from './instructions.js';
import { SyntaxProblem } from './problem.js';

/** BuildKit's rule names. */
export const LINT_RULES = [
  'StageNameCasing',
  'FromAsCasing',
  'NoEmptyContinuation',
  'ConsistentInstructionCasing',
  'DuplicateStageName',
  'ReservedStageName',
  'JSONArgsRecommended',
  'MaintainerDeprecated',
  'UndefinedArgInFrom',
  'WorkdirRelativePath',
  'UndefinedVar',
  'MultipleInstructionsDisallowed',
  'LegacyKeyValueFormat',
  'InvalidBaseImagePlatform',
  'RedundantTargetPlatform',
  'SecretsUsedInArgOrEnv',
  'InvalidDefaultArgInFrom',
  'FromPlatformFlagConstDisallowed',
  'CopyIgnoredFile',
  'InvalidDefinitionDescription',
  'ExposeProtoCasing',
  'ExposeInvalidFormat',
] as const;

export type LintRule = (typeof LINT_RULES)[number];

/** Rules that apply only if `# check=experimental=` names them. */
const EXPERIMENTAL: readonly LintRule[] = ['InvalidDefinitionDescription'];

/** A finding of a rule. */
export interface LintWarning {
  readonly rule: LintRule;
  readonly message: string;
  readonly file: string;
  readonly line: number;
}

/** Collects warnings, except those that `# check=` skips in the file or directly above the instruction. */
export class LintReport {
  readonly warnings: LintWarning[] = [];
  readonly #dockerfile: Dockerfile;

  constructor(dockerfile: Dockerfile) {
    this.#dockerfile = dockerfile;
  }

  /** `place`: the instruction, or a line number. */
  warn(rule: LintRule, place: InstructionBase | number, message: string): void {
    const { check, file } = this.#dockerfile;
    const checks = typeof place === 'number' ? [check] : [check, ...checksAbove(place)];
    const isWanted = EXPERIMENTAL.includes(rule)
      ? checks.some(({ experimental }) => includes(experimental, rule))
      : !checks.some(({ skip }) => includes(skip, rule));
    const line = typeof place === 'number' ? place : place.start.line;
    if (isWanted) this.warnings.push({ rule, message, file, line });
  }
}

function includes(rules: readonly string[] | 'all', rule: string): boolean {
  return rules === 'all' || rules.includes(rule);
}

function checksAbove({ comments }: InstructionBase): CheckDirective[] {
  return comments.flatMap((comment) => {
    const value = /^check\s*=\s*(\S+)/i.exec(comment)?.[1];
    try {
      return value === undefined ? [] : parseCheck(value);
    } catch (error) {
      if (error instanceof SyntaxProblem) return [];
      throw error;
    }
  });
}

/** The error for warnings under `# check=error=true`; undefined otherwise. */
export function lintError(dockerfile: Dockerfile, warnings: readonly LintWarning[]): DockerfileError | undefined {
  const [first] = warnings;
  if (!dockerfile.check.error || first === undefined) return undefined;
  const { file, line } = first;
  const rules = [...new Set(warnings.map(({ rule }) => rule))];
  return new DockerfileError(`${first.rule}: ${first.message}`, {
    file,
    line,
    text: dockerfile.lines[line - 1],
    hint: `the Dockerfile says # check=error=true; rules that are broken: ${rules.join(', ')}`,
  });
}
