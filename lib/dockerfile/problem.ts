import { DockerfileError } from '../errors.js';
import { closest } from '../util/index.js';
import type { InstructionBase } from './instructions.js';

/** A mistake in a Dockerfile without a position, which `inInstruction` adds. */
export class SyntaxProblem extends Error {
  override readonly name = 'SyntaxProblem';
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** `did you mean FROM?` if one of the names is similar to `input`, ignoring case. */
export function suggestion(input: string, names: readonly string[]): string | undefined {
  const name = closestName(input, names);
  return name === undefined ? undefined : `did you mean ${name}?`;
}

/** The name that was probably meant; undefined if `input` is one of them. */
export function closestName(input: string, names: readonly string[]): string | undefined {
  const byKey = new Map(names.map((name) => [name.toLowerCase(), name]));
  const key = input.slice(0, 100).toLowerCase();
  if (byKey.has(key)) return undefined;
  const found = closest(key, [...byKey.keys()]);
  return found === undefined ? undefined : byKey.get(found);
}

/** Runs `body` and converts a SyntaxProblem to a DockerfileError at the start of `place`. */
export function inInstruction<T>(place: Pick<InstructionBase, 'file' | 'start' | 'text'>, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    throw instructionError(place, error.message, error.hint);
  }
}

/** A DockerfileError at the start of an instruction. */
export function instructionError(
  { file, start, text }: Pick<InstructionBase, 'file' | 'start' | 'text'>,
  message: string,
  hint?: string,
): DockerfileError {
  return new DockerfileError(message, { file, line: start.line, column: start.column, text, hint });
}
