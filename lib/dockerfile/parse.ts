import { DockerfileError } from '../errors.js';
import { parseDirectives } from './directives.js';
import { heredocStarts } from './heredoc.js';
import type {
  ArgInstruction,
  Dockerfile,
  Escape,
  Heredoc,
  Instruction,
  Stage,
  StageInstruction,
} from './instructions.js';
import { LineReader, type LogicalLine } from './logical-lines.js';
import { canHaveHeredocs, parseInstruction } from './parse-instruction.js';
import { inInstruction, instructionError, SyntaxProblem } from './problem.js';
import { sourceLines, withoutEnding } from './source-lines.js';

/** Parses a Dockerfile. `file`: its name in messages. Throws DockerfileError. */
export function parseDockerfile(bytes: Uint8Array, { file }: { readonly file: string }): Dockerfile {
  const raw = sourceLines(bytes, file);
  const lines = raw.map(withoutEnding);
  const { lineCount, ...directives } = parseDirectives(lines, file);
  const reader = new LineReader(raw, directives.escape, lineCount);
  const instructions = [...readInstructions(reader, { file, escape: directives.escape, lines })];
  if (instructions.length === 0) throw new DockerfileError('the file has no instructions', { file });
  const { globalArgs, stages } = intoStages(instructions, file);
  return { file, ...directives, globalArgs, stages, lines, emptyContinuations: reader.emptyContinuations };
}

/**
 * Parses one entry of a base image's `config.OnBuild`. `base` names the image in messages. Throws DockerfileError.
 */
export function parseTrigger(text: string, { base }: { readonly base: string }): StageInstruction {
  const file = `ONBUILD of ${base}`;
  const raw = sourceLines(Buffer.from(text), file);
  const reader = new LineReader(raw, '\\');
  const found = [...readInstructions(reader, { file, escape: '\\', lines: raw.map(withoutEnding) })];
  const [instruction] = found;
  if (instruction === undefined || found.length > 1)
    throw new DockerfileError('a trigger must be one instruction', { file, line: found[1]?.start.line ?? 1, text });
  if (instruction.keyword === 'FROM' || instruction.keyword === 'ONBUILD')
    throw instructionError(instruction, `${instruction.keyword} is not allowed as an ONBUILD trigger`);
  return instruction;
}

interface Source {
  readonly file: string;
  readonly escape: Escape;
  readonly lines: readonly string[];
}

function* readInstructions(reader: LineReader, source: Source): Generator<Instruction> {
  for (let line = reader.readInstruction(); line !== undefined; line = reader.readInstruction())
    yield readInstruction(reader, line, source);
}

function readInstruction(reader: LineReader, line: LogicalLine, { file, escape, lines }: Source): Instruction {
  const { start, comments } = line;
  const place = { file, start, text: lines[start.line - 1]! };
  return inInstruction(place, () => {
    const heredocs = canHaveHeredocs(line.text, escape) ? readHeredocs(reader, line.text) : [];
    const text = line.text.trim();
    return parseInstruction({ file, start, end: reader.end, text, escape, comments }, heredocs);
  });
}

function readHeredocs(reader: LineReader, text: string): Heredoc[] {
  return heredocStarts(text).map((start) => {
    const body = reader.readHeredoc(start.name, start.cutsTabs);
    if (body === undefined)
      throw new SyntaxProblem(`the heredoc <<${start.name} is not terminated`, `end it with a line ${start.name}`);
    return { ...start, body };
  });
}

function intoStages(
  instructions: readonly Instruction[],
  file: string,
): { readonly globalArgs: ArgInstruction[]; readonly stages: Stage[] } {
  const globalArgs: ArgInstruction[] = [];
  const stages: (Stage & { readonly instructions: StageInstruction[] })[] = [];
  for (const instruction of instructions) {
    if (instruction.keyword === 'FROM') {
      const { stageName } = instruction;
      const name = stageName === undefined ? {} : { name: stageName };
      stages.push({ index: stages.length, ...name, from: instruction, instructions: [] });
    } else if (stages.length > 0) stages.at(-1)!.instructions.push(instruction);
    else if (instruction.keyword === 'ARG') globalArgs.push(instruction);
    else
      throw instructionError(
        instruction,
        `no stage for ${instruction.keyword}: only ARG may come before the first FROM`,
        'begin with FROM IMAGE or FROM scratch',
      );
  }
  if (stages.length === 0)
    throw new DockerfileError('there are no stages to build', { file, hint: 'add FROM IMAGE or FROM scratch' });
  return { globalArgs, stages };
}
