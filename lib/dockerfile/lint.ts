import { DockerfileError } from '../errors.js';
import type { Platform } from '../spec/index.js';
import type { IgnorePatterns } from './ignore-patterns.js';
import type { Dockerfile, InstructionBase } from './instructions.js';
import { expand } from './lexer.js';
import { lintStages } from './lint-from.js';
import { LintReport, type LintWarning } from './lint-report.js';
import { lintInstructions, type LintState } from './lint-stage.js';
import { SyntaxProblem } from './problem.js';
import { StageScope } from './stage-scope.js';
import { globalVariables, type BuildInputs } from './variables.js';

/** Known facts about a stage's base image. */
export interface KnownBase {
  /** `Env` of its config. */
  readonly env: readonly string[];
  readonly platform: Platform;
  /** True if its config has a shell. */
  readonly hasShell: boolean;
}

export interface LintOptions {
  readonly inputs: BuildInputs;
  /** The ignore file's patterns; undefined without one. */
  readonly ignore?: IgnorePatterns | undefined;
  /** Base images with known configs, by stage index. Without them, fewer mistakes are found. */
  readonly bases?: ReadonlyMap<number, KnownBase> | undefined;
}

/** The warnings about a Dockerfile, sorted by line. Does not report mistakes that make the build fail. */
export function lint(dockerfile: Dockerfile, { inputs, ignore, bases = new Map() }: LintOptions): LintWarning[] {
  const report = new LintReport(dockerfile);
  for (const line of dockerfile.emptyContinuations)
    report.warn(
      'NoEmptyContinuation',
      line,
      'a blank line inside an instruction will become an error in a future release',
    );
  lintCasing(dockerfile, report);
  unlessInvalid(() => {
    const platforms = new Map([...bases].map(([index, { platform }]) => [index, platform]));
    lintStages(dockerfile, report, { inputs, platforms });
  });
  unlessInvalid(() => {
    const globals = globalVariables(dockerfile, inputs);
    const states: LintState[] = [];
    for (const { from, index, instructions } of dockerfile.stages) {
      const base = expand(from.base, globals, { escape: from.escape }).text;
      const parent = dockerfile.stages.findLast(
        ({ name, index: other }) => name === base.toLowerCase() && other < index,
      );
      const known = parent === undefined ? initialState(base, bases.get(index)) : stateOf(states[parent.index]!);
      const state: LintState = {
        scope: new StageScope({ inputs, globals, env: known.env, parent: known.scope }),
        isEnvKnown: known.isEnvKnown,
        hasShell: known.hasShell,
        hasWorkdir: known.hasWorkdir,
      };
      states.push(state);
      lintInstructions(instructions, state, { report, ignore });
    }
  });
  return report.warnings.sort((a, b) => a.line - b.line);
}

type InitialState = Omit<LintState, 'scope'> & { readonly env: readonly string[]; readonly scope?: StageScope };

function initialState(base: string, known: KnownBase | undefined): InitialState {
  // Every build has a PATH.
  const env = ['PATH=', ...(known?.env ?? [])];
  return {
    env,
    isEnvKnown: known !== undefined || base === 'scratch',
    hasShell: known?.hasShell ?? false,
    hasWorkdir: false,
  };
}

function stateOf(parent: LintState): InitialState {
  return { ...parent, env: parent.scope.env };
}

function unlessInvalid(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof DockerfileError) && !(error instanceof SyntaxProblem)) throw error;
  }
}

/** All keywords must have the same case. */
function lintCasing({ stages }: Dockerfile, report: LintReport): void {
  const all: InstructionBase[] = stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  const lower = all.filter(({ written }) => written === written.toLowerCase()).length;
  const upper = all.filter(({ written }) => written === written.toUpperCase()).length;
  const isLower = lower > upper;
  for (const instruction of all) {
    const { written } = instruction;
    if (written !== (isLower ? written.toLowerCase() : written.toUpperCase()))
      report.warn(
        'ConsistentInstructionCasing',
        instruction,
        `${written} should be in ${isLower ? 'lower' : 'upper'} case, as most instructions are`,
      );
  }
}
