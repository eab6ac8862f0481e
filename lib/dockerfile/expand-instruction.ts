import { heredocText } from './heredoc.js';
import type { CopyBase, Heredoc, Instruction } from './instructions.js';
import { expand, type Environment, type Expansion } from './lexer.js';
import { parsePort } from './ports.js';
import { inInstruction } from './problem.js';
import { checkSignal } from './signals.js';

/**
 * Expands an instruction's unexpanded strings: removes quotes and substitutes variables. Does not touch the commands of
 * RUN, CMD, ENTRYPOINT and HEALTHCHECK, `RUN --mount` (see `mountsOf`), ARG (see `StageScope`) and ONBUILD. Splits the
 * port ranges of EXPOSE and validates STOPSIGNAL. Throws DockerfileError. `onWord` is called with each expanded word.
 */
export function expandInstruction<I extends Instruction>(
  instruction: I,
  environment: Environment,
  onWord?: (expansion: Expansion) => void,
): I {
  return inInstruction(instruction, () => expandFields(instruction, environment, onWord));
}

/** Like `expandInstruction`, for callers that add the position themselves. Throws SyntaxProblem. */
export function expandFields<I extends Instruction>(
  instruction: I,
  environment: Environment,
  onWord?: (expansion: Expansion) => void,
): I {
  const { escape } = instruction;
  const expansion = (word: string): Expansion => {
    const result = expand(word, environment, { escape });
    onWord?.(result);
    return result;
  };
  const text = (word: string): string => expansion(word).text;
  return expanded(instruction, { text, expansion, environment }) as I;
}

interface Expander {
  readonly text: (word: string) => string;
  readonly expansion: (word: string) => Expansion;
  readonly environment: Environment;
}

function expanded(instruction: Instruction, expander: Expander): Instruction {
  const { text, expansion } = expander;
  switch (instruction.keyword) {
    case 'FROM':
      return { ...instruction, base: text(instruction.base), ...optional('platform', instruction.platform, text) };
    case 'ENV':
    case 'LABEL':
      return {
        ...instruction,
        pairs: instruction.pairs.map(({ key, value }) => ({ key: text(key), value: text(value) })),
      };
    case 'COPY':
      return { ...instruction, ...expandedCopy(instruction, expander) };
    case 'ADD':
      return {
        ...instruction,
        ...expandedCopy(instruction, expander),
        ...optional('checksum', instruction.checksum, text),
      };
    case 'EXPOSE': {
      const words = instruction.ports.flatMap((port) => expansion(port).words);
      return { ...instruction, ports: words.flatMap((word) => parsePort(word).ports) };
    }
    case 'USER':
      return { ...instruction, user: text(instruction.user) };
    case 'VOLUME':
      return { ...instruction, paths: instruction.paths.map(text) };
    case 'WORKDIR':
      return { ...instruction, path: text(instruction.path) };
    case 'STOPSIGNAL': {
      const signal = text(instruction.signal);
      checkSignal(signal);
      return { ...instruction, signal };
    }
    case 'ARG':
    case 'CMD':
    case 'ENTRYPOINT':
    case 'HEALTHCHECK':
    case 'MAINTAINER':
    case 'ONBUILD':
    case 'RUN':
    case 'SHELL':
      return instruction;
  }
}

type ExpandedCopy = Pick<CopyBase, 'sources' | 'heredocs' | 'destination' | 'chown' | 'chmod'>;

function expandedCopy(copy: CopyBase, { text, environment }: Expander): ExpandedCopy {
  return {
    sources: copy.sources.map(text),
    heredocs: copy.heredocs.map((heredoc): Heredoc => ({
      ...heredoc,
      body: heredocText(heredoc, environment),
      isExpanded: false,
      cutsTabs: false,
    })),
    destination: text(copy.destination),
    ...optional('chown', copy.chown, text),
    ...optional('chmod', copy.chmod, text),
  };
}

function optional<K extends string>(
  key: K,
  value: string | undefined,
  text: (word: string) => string,
): { readonly [key in K]?: string } {
  return (value === undefined ? {} : { [key]: text(value) }) as { readonly [key in K]?: string };
}
