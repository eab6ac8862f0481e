import { Flags, given } from './flags.js';
import { parseHeredocStart } from './heredoc.js';
import type { AddInstruction, CopyBase, CopyInstruction, Heredoc, InstructionBase } from './instructions.js';
import { expand } from './lexer.js';
import { SyntaxProblem } from './problem.js';
import { stringList } from './parse-command.js';
import { plainWords } from './words.js';

type Fields<I> = Omit<I, keyof InstructionBase | 'keyword'>;

const SHARED_FLAGS = { chown: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const;
const COPY_FLAGS = { ...SHARED_FLAGS, from: 'text', parents: 'boolean' } as const;
const ADD_FLAGS = { ...SHARED_FLAGS, checksum: 'text', 'keep-git-dir': 'boolean', unpack: 'boolean' } as const;

/** Parses the arguments of COPY. Throws SyntaxProblem. */
export function parseCopy(
  rest: string,
  words: readonly string[],
  heredocs: readonly Heredoc[],
): Fields<CopyInstruction> {
  const paths = copyPaths('COPY', rest, heredocs);
  const flags = new Flags(words, COPY_FLAGS);
  const from = flags.text('from') || undefined;
  if (from !== undefined) checkNoVariable(from);
  return { ...paths, ...shared(flags), ...given({ from }), parents: flags.boolean('parents') === true };
}

/** Parses the arguments of ADD. Throws SyntaxProblem. */
export function parseAdd(rest: string, words: readonly string[], heredocs: readonly Heredoc[]): Fields<AddInstruction> {
  const paths = copyPaths('ADD', rest, heredocs);
  const flags = new Flags(words, ADD_FLAGS);
  return {
    ...paths,
    ...shared(flags),
    ...given({ checksum: flags.text('checksum') || undefined, unpack: flags.boolean('unpack') }),
    keepGitDir: flags.boolean('keep-git-dir') === true,
  };
}

function shared(flags: Flags): Omit<Fields<CopyBase>, 'sources' | 'heredocs' | 'destination'> {
  return {
    ...given({ chown: flags.text('chown') || undefined, chmod: flags.text('chmod') || undefined }),
    link: flags.boolean('link') === true,
    excludes: flags.list('exclude'),
  };
}

function copyPaths(
  keyword: string,
  rest: string,
  heredocs: readonly Heredoc[],
): Pick<CopyBase, 'sources' | 'heredocs' | 'destination'> {
  const list = stringList(rest);
  const words = list ?? plainWords(rest);
  if (words.length < 2)
    throw new SyntaxProblem(`${keyword} needs at least two arguments`, 'give a source and the destination');
  const destination = words.at(-1)!;
  const sources = words.slice(0, -1);
  if (list !== undefined) return { sources, heredocs: [], destination };
  if (parseHeredocStart(destination) !== undefined)
    throw new SyntaxProblem(`${keyword} cannot accept a heredoc as a destination`);
  const files = sources.map(parseHeredocStart).filter((start) => start !== undefined);
  return {
    sources: sources.filter((source) => parseHeredocStart(source) === undefined),
    heredocs: files.map(({ name }) => {
      const heredoc = heredocs.find((other) => other.name === name);
      if (heredoc === undefined)
        throw new SyntaxProblem(`the heredoc <<${name} has no body`, 'a quote may not be closed');
      return heredoc;
    }),
    destination,
  };
}

/** `--from` names a stage or an image without expansion. */
function checkNoVariable(from: string): void {
  if (expand(from, new Map()).text !== from)
    throw new SyntaxProblem(
      '--from does not expand variables',
      'define a stage with FROM and an ARG of the global scope, and name that stage',
    );
}
