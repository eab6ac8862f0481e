import type { Body, Command, Field, Node, Operand, Pipe } from './nodes.js';
import type { TemplateErrorOf } from './template-error.js';
import { splitTemplate, type Piece, type Token } from './tokens.js';

/** Actions of text/template that define further templates. */
const NOT_SUPPORTED = ['define', 'template', 'block'];

type Action = Extract<Piece, { readonly kind: 'action' }>;

/** How a body ended: at the end of the template, or at an `end` or `else`. */
type Ending = { readonly word: 'end' | 'else'; readonly action: Action; readonly rest: Tokens } | undefined;

/** Parses a template. `isFunction`: reports whether a name is a function. Throws UsageError. */
export function parseNodes(text: string, templateError: TemplateErrorOf, isFunction: (name: string) => boolean): Body {
  const parser = new Parser(splitTemplate(text, templateError), templateError, isFunction);
  const { body, ending } = parser.body({ inRange: false, variables: [''] });
  if (ending === undefined) return body;
  throw templateError(ending.action.at, `this ${ending.word} belongs to no if, with or range`);
}

interface Scope {
  readonly inRange: boolean;
  /** Variables declared so far. */
  readonly variables: string[];
}

class Parser {
  readonly #pieces: readonly Piece[];
  readonly #templateError: TemplateErrorOf;
  readonly #isFunction: (name: string) => boolean;
  #next = 0;

  constructor(pieces: readonly Piece[], templateError: TemplateErrorOf, isFunction: (name: string) => boolean) {
    this.#pieces = pieces;
    this.#templateError = templateError;
    this.#isFunction = isFunction;
  }

  body(scope: Scope): { readonly body: Body; readonly ending: Ending } {
    const body: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#next++];
      if (piece === undefined) return { body, ending: undefined };
      if (piece.kind === 'text') {
        body.push(piece);
        continue;
      }
      const tokens = new Tokens(piece.tokens, piece.at, this.#templateError);
      const word = tokens.peek()?.kind === 'word' ? tokens.peek()!.text : '';
      if (word === 'end' || word === 'else') {
        tokens.take();
        if (word === 'end') tokens.finish();
        return { body, ending: { word, action: piece, rest: tokens } };
      }
      body.push(this.#action(word, piece, tokens, scope));
    }
  }

  #action(word: string, piece: Action, tokens: Tokens, scope: Scope): Node {
    if (word === 'if' || word === 'with' || word === 'range') {
      tokens.take();
      return this.#block(word, piece, tokens, scope);
    }
    if (word === 'break' || word === 'continue') {
      tokens.take();
      tokens.finish();
      if (!scope.inRange) throw this.#templateError(piece.at, `${word} is outside of a range`);
      return { kind: word };
    }
    if (NOT_SUPPORTED.includes(word)) {
      throw this.#templateError(piece.at, `${word} is not supported`, 'write the template in one piece');
    }
    const pipe = this.#pipe(tokens, scope, 1);
    tokens.finish();
    return { kind: 'output', pipe };
  }

  /** Parses `if`, `with` or `range` up to its `end`. */
  #block(kind: 'if' | 'with' | 'range', piece: Action, tokens: Tokens, outer: Scope): Node {
    const scope: Scope = { inRange: outer.inRange || kind === 'range', variables: [...outer.variables] };
    const pipe = this.#pipe(tokens, scope, kind === 'range' ? 2 : 1);
    tokens.finish();
    const { body, ending } = this.body(scope);
    if (ending === undefined) throw this.#templateError(piece.at, `this ${kind} has no end`);
    if (ending.word === 'end') return { kind, pipe, body, otherwise: [] };
    const next = ending.rest.peek();
    // `else if` and `else with` share the outer `end`.
    if (next?.kind === 'word' && (next.text === 'if' || next.text === 'with')) {
      ending.rest.take();
      return { kind, pipe, body, otherwise: [this.#block(next.text, ending.action, ending.rest, outer)] };
    }
    ending.rest.finish();
    const last = this.body({ inRange: outer.inRange, variables: [...scope.variables] });
    if (last.ending === undefined) throw this.#templateError(piece.at, `this ${kind} has no end`);
    if (last.ending.word === 'else') throw this.#templateError(last.ending.action.at, `a second else for one ${kind}`);
    return { kind, pipe, body, otherwise: last.body };
  }

  #pipe(tokens: Tokens, scope: Scope, maxVariables: number): Pipe {
    const { at, variables, declares } = this.#variables(tokens, scope, maxVariables);
    const commands: Command[] = [this.#command(tokens, scope)];
    while (tokens.takeSign('|')) commands.push(this.#command(tokens, scope));
    if (declares) scope.variables.push(...variables);
    return { at, variables, declares, commands };
  }

  /** `$x :=`, `$x =` or `$i, $x :=` at the start of an action, if present. */
  #variables(
    tokens: Tokens,
    scope: Scope,
    max: number,
  ): { readonly at: number; readonly variables: string[]; readonly declares: boolean } {
    const { at } = tokens;
    const names: Token[] = [];
    const start = tokens.position;
    do {
      const token = tokens.peek();
      if (token?.kind !== 'variable') break;
      names.push(tokens.take());
    } while (tokens.takeSign(','));
    const declares = tokens.takeSign(':=');
    if (names.length > 0 && (declares || tokens.takeSign('='))) {
      if (names.length > max) throw this.#templateError(names[max]!.at, 'too many variables for one value');
      if (!declares) for (const name of names) this.#checkKnown(name, scope);
      return { at, variables: names.map(({ text }) => text), declares };
    }
    tokens.position = start;
    return { at, variables: [], declares: false };
  }

  #command(tokens: Tokens, scope: Scope): Command {
    const operands: Operand[] = [];
    while (!tokens.isAtEnd && !tokens.isAtSign('|') && !tokens.isAtSign(')'))
      operands.push(this.#operand(tokens, scope));
    const [first, ...rest] = operands;
    if (first === undefined) throw this.#templateError(tokens.at, 'a value is missing');
    return [first, ...rest];
  }

  #operand(tokens: Tokens, scope: Scope): Operand {
    const token = tokens.take();
    const { at, text } = token;
    switch (token.kind) {
      case 'dot':
        return { kind: 'dot', at, fields: [] };
      case 'field':
        return { kind: 'dot', at, fields: [{ at, name: text }, ...this.#fields(tokens)] };
      case 'variable':
        this.#checkKnown(token, scope);
        return { kind: 'variable', at, name: text, fields: this.#fields(tokens) };
      case 'literal':
        return { kind: 'literal', at, value: token.value! };
      case 'word':
        return this.#word(token);
      case 'sign': {
        if (text !== '(') throw this.#templateError(at, `${text} has no meaning here`);
        const pipe = this.#pipe(tokens, scope, 0);
        if (!tokens.takeSign(')')) throw this.#templateError(at, 'this ( has no )');
        return { kind: 'pipe', at, pipe, fields: this.#fields(tokens) };
      }
    }
  }

  #word({ at, text }: Token): Operand {
    if (text === 'true' || text === 'false') return { kind: 'literal', at, value: text === 'true' };
    if (text === 'nil') return { kind: 'literal', at, value: null };
    if (this.#isFunction(text)) return { kind: 'function', at, name: text };
    throw this.#templateError(
      at,
      `there is no function ${JSON.stringify(text)}`,
      `write .${text} for a field of that name`,
    );
  }

  #fields(tokens: Tokens): Field[] {
    const fields: Field[] = [];
    for (let next = tokens.peek(); next?.kind === 'field' && next.isGlued; next = tokens.peek())
      fields.push({ at: next.at, name: tokens.take().text });
    return fields;
  }

  #checkKnown({ at, text }: Token, { variables }: Scope): void {
    if (!variables.includes(text)) throw this.#templateError(at, `there is no variable $${text}`);
  }
}

/** Reads the tokens of one action in order. */
class Tokens {
  readonly #tokens: readonly Token[];
  readonly #start: number;
  readonly #templateError: TemplateErrorOf;
  position = 0;

  constructor(tokens: readonly Token[], start: number, templateError: TemplateErrorOf) {
    this.#tokens = tokens;
    this.#start = start;
    this.#templateError = templateError;
  }

  /** Position of the next token, or of the action at its end. */
  get at(): number {
    return this.peek()?.at ?? this.#start;
  }

  get isAtEnd(): boolean {
    return this.position >= this.#tokens.length;
  }

  peek(): Token | undefined {
    return this.#tokens[this.position];
  }

  take(): Token {
    const token = this.#tokens[this.position];
    if (token === undefined) throw this.#templateError(this.#start, 'a value is missing');
    this.position += 1;
    return token;
  }

  isAtSign(sign: string): boolean {
    const token = this.peek();
    return token?.kind === 'sign' && token.text === sign;
  }

  takeSign(sign: string): boolean {
    if (!this.isAtSign(sign)) return false;
    this.position += 1;
    return true;
  }

  /** Throws UsageError if tokens remain. */
  finish(): void {
    const token = this.peek();
    if (token !== undefined) throw this.#templateError(token.at, `${token.text} has no meaning here`);
  }
}
