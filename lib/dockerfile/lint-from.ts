import { formatPlatform, parsePlatform, parseReference, platformScore, type Platform } from '../spec/index.js';
import type { Dockerfile, FromInstruction, InstructionBase, Stage } from './instructions.js';
import { expand, type Environment, type Expansion } from './lexer.js';
import type { LintReport } from './lint-report.js';
import { closestName } from './problem.js';
import { globalVariables, type BuildInputs } from './variables.js';

/** Stage names with another meaning. */
const RESERVED = ['context', 'scratch'];

/** Rules for FROM. `platforms`: platforms of known base images, by stage index. */
export function lintStages(
  dockerfile: Dockerfile,
  report: LintReport,
  { inputs, platforms }: { readonly inputs: BuildInputs; readonly platforms: ReadonlyMap<number, Platform> },
): void {
  const globals = globalVariables(dockerfile, inputs);
  const defaults = globalVariables(dockerfile, { ...inputs, buildArgs: new Map() });
  const declared = dockerfile.globalArgs.flatMap(({ args }) => args.map(({ name }) => name));
  const seen = new Set<string>();
  for (const stage of dockerfile.stages) {
    lintNames(stage, seen, report);
    lintBase(stage.from, { globals, defaults, known: new Set([...declared, ...globals.keys()]) }, report);
    lintPlatform(stage, { globals, target: inputs.targetPlatform, actual: platforms.get(stage.index) }, report);
  }
}

function lintNames({ from, name }: Stage, seen: Set<string>, report: LintReport): void {
  const { writtenName, writtenAs, written } = from;
  if (name === undefined || writtenName === undefined || writtenAs === undefined) return;
  if (writtenName !== name)
    report.warn('StageNameCasing', from, `the stage name ${writtenName} should be in lower case`);
  const isLower = written === written.toLowerCase();
  const isUpper = written === written.toUpperCase();
  if ((isLower || isUpper) && writtenAs !== (isLower ? writtenAs.toLowerCase() : writtenAs.toUpperCase()))
    report.warn('FromAsCasing', from, `${writtenAs} should be in the case of ${written}`);
  if (RESERVED.includes(name)) report.warn('ReservedStageName', from, `a stage should not be named ${name}`);
  if (seen.has(name)) report.warn('DuplicateStageName', from, `there is another stage named ${name}`);
  seen.add(name);
  lintDescription('stage', [name], from, report);
}

interface Globals {
  readonly globals: Environment;
  /** Without build args. */
  readonly defaults: Environment;
  /** All variables available in FROM. */
  readonly known: ReadonlySet<string>;
}

function lintBase(from: FromInstruction, { globals, defaults, known }: Globals, report: LintReport): void {
  const { escape } = from;
  for (const word of [from.base, from.platform ?? '']) {
    const names = [...expand(word, globals, { escape }).unset].filter((name) => !known.has(name));
    for (const name of names)
      report.warn('UndefinedArgInFrom', from, `FROM uses ${name}, which no ARG declares${meant(name, [...known])}`);
  }
  if (!isReference(expand(from.base, defaults, { escape }).text))
    report.warn(
      'InvalidDefaultArgInFrom',
      from,
      `without build args, ${from.base} is ${expand(from.base, defaults, { escape }).text === '' ? 'empty' : 'not a valid reference'}`,
    );
}

function isReference(text: string): boolean {
  try {
    return parseReference(text) !== undefined;
  } catch {
    return false;
  }
}

interface PlatformFacts {
  readonly globals: Environment;
  readonly target: Platform;
  /** Platform of the base image. */
  readonly actual: Platform | undefined;
}

function lintPlatform({ from, name }: Stage, { globals, target, actual }: PlatformFacts, report: LintReport): void {
  const expansion = expand(from.platform ?? '', globals, { escape: from.escape });
  const wanted = from.platform === undefined ? target : platformOf(expansion);
  if (wanted === undefined) return;
  if (actual !== undefined && platformScore({ ...wanted, variant: '' }, { ...actual, variant: '' }) === 0)
    report.warn(
      'InvalidBaseImagePlatform',
      from,
      `the base image ${from.base} is for ${formatPlatform(actual)}, not for ${formatPlatform(wanted)}`,
    );
  if (from.platform === undefined) return;
  const { used, unset, text } = expansion;
  if (used.size === 0 && unset.size === 0) {
    const isNamed = [wanted.os, wanted.architecture].some((part) => name?.includes(part) === true);
    if (!isNamed) report.warn('FromPlatformFlagConstDisallowed', from, `--platform should not be the constant ${text}`);
  } else if (
    used.size === 1 &&
    unset.size === 0 &&
    used.has('TARGETPLATFORM') &&
    text === globals.get('TARGETPLATFORM')
  )
    report.warn('RedundantTargetPlatform', from, `--platform=${from.platform} is the default`);
}

function platformOf({ text }: Expansion): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch {
    return undefined;
  }
}

/** A comment directly above an ARG or a stage describes it, so it must start with its name. */
export function lintDescription(
  kind: 'ARG' | 'stage',
  names: readonly string[],
  instruction: InstructionBase,
  report: LintReport,
): void {
  const comment = instruction.comments.at(-1);
  if (comment === undefined || names.includes(comment.split(' ')[0]!)) return;
  report.warn(
    'InvalidDefinitionDescription',
    instruction,
    `the comment of the ${kind} should be written # ${names.length > 1 ? 'NAME' : names[0]} DESCRIPTION`,
  );
}

/** ` (did you mean NAME?)`, or empty. */
export function meant(name: string, names: readonly string[]): string {
  const found = closestName(name, names);
  return found === undefined ? '' : ` (did you mean ${found}?)`;
}
