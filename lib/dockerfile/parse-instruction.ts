import { Flags, given } from './flags.js';
import type {
  Escape,
  FromInstruction,
  Heredoc,
  Instruction,
  InstructionBase,
  Keyword,
  OnbuildInstruction,
  StageInstruction,
} from './instructions.js';
import { parseCommand, parseHealth, parseShell, stringList } from './parse-command.js';
import { parseAdd, parseCopy } from './parse-copy.js';
import { parseArgs, parsePairs } from './parse-pairs.js';
import { parseRun } from './parse-run.js';
import { suggestion, SyntaxProblem } from './problem.js';
import { jsonWords, plainWords, splitLine, type SplitLine } from './words.js';

const KEYWORDS: readonly Keyword[] = [
  'FROM',
  'RUN',
  'COPY',
  'ADD',
  'ENV',
  'ARG',
  'LABEL',
  'WORKDIR',
  'USER',
  'VOLUME',
  'EXPOSE',
  'CMD',
  'ENTRYPOINT',
  'HEALTHCHECK',
  'STOPSIGNAL',
  'SHELL',
  'ONBUILD',
  'MAINTAINER',
];

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

/** The split line of an instruction and its heredocs. */
interface Parts extends SplitLine {
  readonly heredocs: readonly Heredoc[];
}

/** Reports whether an instruction may start heredocs: ADD, COPY and RUN without a JSON list, or ONBUILD of these. */
export function canHaveHeredocs(text: string, escape: Escape): boolean {
  const { keyword, rest } = splitLine(text, escape);
  if (keyword.toUpperCase() === 'ONBUILD') return !/^onbuild\s/i.test(rest) && canHaveHeredocs(rest, escape);
  return ['ADD', 'COPY', 'RUN'].includes(keyword.toUpperCase()) && !Array.isArray(jsonWords(rest));
}

/** Parses one instruction. `base.text` is its logical line. Throws SyntaxProblem. */
export function parseInstruction(base: Omit<InstructionBase, 'written'>, heredocs: readonly Heredoc[]): Instruction {
  const split = splitLine(base.text, base.escape);
  const keyword = split.keyword.toUpperCase();
  if (!(KEYWORDS as readonly string[]).includes(keyword))
    throw new SyntaxProblem(
      `unknown instruction ${JSON.stringify(split.keyword)}`,
      suggestion(split.keyword, KEYWORDS),
    );
  const written = { ...base, written: split.keyword };
  return parseKnown(written, keyword as Keyword, { ...split, heredocs });
}

function parseKnown(base: InstructionBase, keyword: Keyword, { flags, rest, heredocs }: Parts): Instruction {
  const { escape } = base;
  const noFlags = (): unknown => new Flags(flags, {});
  switch (keyword) {
    case 'FROM':
      return parseFrom(base, rest, flags);
    case 'RUN':
      return { ...base, keyword, ...parseRun(rest, flags, heredocs) };
    case 'COPY':
      return { ...base, keyword, ...parseCopy(rest, flags, heredocs) };
    case 'ADD':
      return { ...base, keyword, ...parseAdd(rest, flags, heredocs) };
    case 'HEALTHCHECK':
      return { ...base, keyword, ...parseHealth(rest, flags) };
    case 'ONBUILD':
      noFlags();
      return parseOnbuild(base, rest, heredocs);
    case 'ENV':
    case 'LABEL':
      noFlags();
      return { ...base, keyword, ...parsePairs(keyword, rest, escape) };
    case 'ARG':
      noFlags();
      return { ...base, keyword, args: parseArgs(rest, escape) };
    case 'CMD':
    case 'ENTRYPOINT':
      noFlags();
      return { ...base, keyword, command: parseCommand(rest) };
    case 'SHELL':
      noFlags();
      return { ...base, keyword, shell: parseShell(rest) };
    case 'EXPOSE':
      noFlags();
      return { ...base, keyword, ports: atLeastOne(keyword, plainWords(rest)).sort() };
    case 'VOLUME':
      noFlags();
      return { ...base, keyword, paths: volumePaths(rest) };
    case 'WORKDIR':
      noFlags();
      return { ...base, keyword, path: exactlyOne(keyword, rest) };
    case 'USER':
      noFlags();
      return { ...base, keyword, user: exactlyOne(keyword, rest) };
    case 'STOPSIGNAL':
      noFlags();
      return { ...base, keyword, signal: exactlyOne(keyword, rest) };
    case 'MAINTAINER':
      noFlags();
      return { ...base, keyword, name: exactlyOne(keyword, rest) };
  }
}

function parseFrom(base: InstructionBase, rest: string, flagWords: readonly string[]): FromInstruction {
  const words = plainWords(rest);
  const [image, as, writtenName] = words;
  const isNamed = words.length === 3 && as!.toUpperCase() === 'AS';
  if (image === undefined || (words.length !== 1 && !isNamed))
    throw new SyntaxProblem('FROM needs either one or three arguments', 'write FROM IMAGE or FROM IMAGE AS NAME');
  const stageName = isNamed ? writtenName!.toLowerCase() : undefined;
  if (stageName !== undefined && !STAGE_NAME.test(stageName))
    throw new SyntaxProblem(
      `${JSON.stringify(writtenName)} is an invalid name for a stage`,
      'start a name with a letter, then use letters, digits, -, _ and .',
    );
  const flags = new Flags(flagWords, { platform: 'text' });
  return {
    ...base,
    keyword: 'FROM',
    base: image,
    ...given({
      stageName,
      writtenName: isNamed ? writtenName : undefined,
      writtenAs: isNamed ? as : undefined,
      platform: flags.text('platform') || undefined,
    }),
  };
}

function parseOnbuild(base: InstructionBase, rest: string, heredocs: readonly Heredoc[]): OnbuildInstruction {
  if (rest === '') throw new SyntaxProblem('ONBUILD needs at least one argument', 'write ONBUILD INSTRUCTION');
  const instruction = parseInstruction({ ...base, text: rest }, heredocs);
  if (isForbiddenTrigger(instruction))
    throw new SyntaxProblem(`${instruction.keyword} is not allowed as an ONBUILD trigger`);
  const bodies = heredocs.map(({ name, body }) => `\n${body}${name}`);
  return { ...base, keyword: 'ONBUILD', trigger: rest + bodies.join(''), instruction };
}

function isForbiddenTrigger(
  instruction: Instruction,
): instruction is Exclude<Instruction, StageInstruction> | OnbuildInstruction {
  return ['FROM', 'ONBUILD', 'MAINTAINER'].includes(instruction.keyword);
}

function volumePaths(rest: string): string[] {
  const paths = (stringList(rest) ?? plainWords(rest)).map((path) => path.trim());
  if (paths.includes('')) throw new SyntaxProblem('a path of VOLUME is empty');
  return atLeastOne('VOLUME', paths);
}

function atLeastOne(keyword: Keyword, words: string[]): string[] {
  if (words.length === 0) throw new SyntaxProblem(`${keyword} needs at least one argument`);
  return words;
}

function exactlyOne(keyword: Keyword, rest: string): string {
  if (rest === '') throw new SyntaxProblem(`${keyword} needs exactly one argument`);
  return rest;
}
