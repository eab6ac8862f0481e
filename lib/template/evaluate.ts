import { closest } from '../util/index.js';
import { BadArgumentError, callFunction } from './functions.js';
import type { Block, Body, Command, Field, Operand, Pipe } from './nodes.js';
import type { TemplateErrorOf } from './template-error.js';
import { fieldNames, findField, isEmpty, kindOf, printValue, sortedEntries, type TemplateMethod } from './value.js';

/** Early exit from a body. */
type Leave = 'break' | 'continue' | undefined;

/** Marks a command without piped input. */
const NOTHING = Symbol('nothing');

/** Variables of a block and its enclosing blocks. */
class Variables {
  readonly #own = new Map<string, unknown>();
  readonly #outer: Variables | undefined;

  constructor(outer?: Variables) {
    this.#outer = outer;
  }

  get(name: string): unknown {
    return this.#own.has(name) ? this.#own.get(name) : this.#outer?.get(name);
  }

  declare(name: string, value: unknown): void {
    this.#own.set(name, value);
  }

  set(name: string, value: unknown): void {
    if (this.#own.has(name) || this.#outer === undefined) this.#own.set(name, value);
    else this.#outer.set(name, value);
  }
}

/** Executes a parsed template. Throws UsageError that names the position. */
export function evaluate(body: Body, data: unknown, templateError: TemplateErrorOf): string {
  const run = new Evaluation(templateError);
  const variables = new Variables();
  variables.declare('', data);
  run.body(body, data, variables);
  return run.output.join('');
}

class Evaluation {
  readonly output: string[] = [];
  readonly #templateError: TemplateErrorOf;

  constructor(templateError: TemplateErrorOf) {
    this.#templateError = templateError;
  }

  body(body: Body, dot: unknown, variables: Variables): Leave {
    for (const node of body) {
      if (node.kind === 'text') this.output.push(node.text);
      else if (node.kind === 'output') this.#print(node.pipe, dot, variables);
      else {
        const leave = 'pipe' in node ? this.#block(node, dot, new Variables(variables)) : node.kind;
        if (leave !== undefined) return leave;
      }
    }
    return undefined;
  }

  #print(pipe: Pipe, dot: unknown, variables: Variables): void {
    const value = this.#pipe(pipe, dot, variables);
    if (pipe.variables.length === 0) this.output.push(printValue(value));
    else this.#assign(pipe, [value], variables);
  }

  #block(block: Block, dot: unknown, variables: Variables): Leave {
    const { kind, pipe, body, otherwise } = block;
    const value = this.#pipe(pipe, dot, variables);
    if (kind === 'range') return this.#range(value, block, dot, variables);
    if (pipe.variables.length > 0) this.#assign(pipe, [value], variables);
    if (isEmpty(value)) return this.body(otherwise, dot, variables);
    return this.body(body, kind === 'with' ? value : dot, variables);
  }

  #range(value: unknown, { pipe, body, otherwise }: Block, dot: unknown, variables: Variables): Leave {
    const entries = this.#entriesOf(value, pipe.at);
    if (entries.length === 0) return this.body(otherwise, dot, variables);
    for (const [key, element] of entries) {
      const inner = new Variables(variables);
      this.#assign(pipe, pipe.variables.length === 1 ? [element] : [key, element], inner);
      if (this.body(body, element, inner) === 'break') break;
    }
    return undefined;
  }

  #entriesOf(value: unknown, at: number): readonly (readonly [unknown, unknown])[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((element, index) => [index, element]);
    if (value instanceof Map) return sortedEntries(value);
    throw this.#templateError(at, `range goes over lists and maps, and this is ${kindOf(value)}`);
  }

  #assign({ variables: names, declares }: Pipe, values: readonly unknown[], variables: Variables): void {
    for (const [index, name] of names.entries()) {
      if (declares) variables.declare(name, values[index]);
      else variables.set(name, values[index]);
    }
  }

  #pipe(pipe: Pipe, dot: unknown, variables: Variables): unknown {
    let value: unknown = NOTHING;
    for (const command of pipe.commands) value = this.#command(command, value, { dot, variables });
    return value;
  }

  #command([first, ...rest]: Command, piped: unknown, place: Place): unknown {
    const hasPiped = piped !== NOTHING;
    if (first.kind === 'function' && (first.name === 'and' || first.name === 'or'))
      return this.#andOr(first, rest, hasPiped ? [piped] : [], place);
    const args = (): unknown[] => [
      ...rest.map((operand) => this.#operand(operand, place)),
      ...(hasPiped ? [piped] : []),
    ];
    if (first.kind === 'function') return this.#call(first, first.name, args());
    const value = this.#operand(first, place, { mayBeMethod: true });
    if (typeof value === 'function') return this.#method(first, value as TemplateMethod, args());
    if (rest.length > 0 || hasPiped)
      throw this.#templateError(first.at, `this is ${kindOf(value)}, which takes no values`);
    return value;
  }

  /** Returns the first argument that decides the result; does not evaluate later ones. */
  #andOr(
    first: Operand & { readonly name: string },
    rest: readonly Operand[],
    piped: readonly unknown[],
    place: Place,
  ): unknown {
    const values = [
      ...rest.map((operand) => () => this.#operand(operand, place)),
      ...piped.map((value) => () => value),
    ];
    if (values.length === 0) throw this.#templateError(first.at, `${first.name} takes at least 1 value`);
    let value: unknown;
    for (const read of values) {
      value = read();
      if (isEmpty(value) === (first.name === 'and')) return value;
    }
    return value;
  }

  #call({ at }: Operand, name: string, args: readonly unknown[]): unknown {
    try {
      return callFunction(name, args);
    } catch (error) {
      throw error instanceof BadArgumentError ? this.#templateError(at, error.message) : error;
    }
  }

  #method({ at }: Operand, method: TemplateMethod, args: readonly unknown[]): unknown {
    if (args.length === method.length) return method(...args);
    throw this.#templateError(
      at,
      `this takes ${method.length} ${method.length === 1 ? 'value' : 'values'}, not ${args.length}`,
    );
  }

  #operand(operand: Operand, place: Place, { mayBeMethod } = { mayBeMethod: false }): unknown {
    switch (operand.kind) {
      case 'literal':
        return operand.value;
      case 'function':
        return operand.name === 'and' || operand.name === 'or'
          ? this.#andOr(operand, [], [], place)
          : this.#call(operand, operand.name, []);
      case 'dot':
        return this.#fields(place.dot, operand.fields, mayBeMethod);
      case 'variable':
        return this.#fields(place.variables.get(operand.name), operand.fields, mayBeMethod);
      case 'pipe':
        return this.#fields(this.#pipe(operand.pipe, place.dot, place.variables), operand.fields, mayBeMethod);
    }
  }

  #fields(start: unknown, fields: readonly Field[], mayBeMethod: boolean): unknown {
    const value = fields.reduce((holder, field) => this.#field(holder, field), start);
    if (typeof value !== 'function' || mayBeMethod) return value;
    throw this.#templateError(
      fields.at(-1)!.at,
      `.${fields.at(-1)!.name} takes a value, such as .${fields.at(-1)!.name} "x"`,
    );
  }

  #field(holder: unknown, { at, name }: Field): unknown {
    if (holder instanceof Map) return holder.get(name) as unknown;
    if (typeof holder !== 'object' || holder === null || Array.isArray(holder))
      throw this.#templateError(at, `there is no field .${name} in ${kindOf(holder)}`);
    const field = findField(holder, name);
    if (field !== undefined) return (holder as Record<string, unknown>)[field];
    const names = fieldNames(holder);
    const near = closest(name, names);
    const hint = near === undefined ? `the fields are ${names.join(', ')}` : `did you mean .${near}?`;
    throw this.#templateError(at, `there is no field .${name}`, hint);
  }
}

/** The values of `.` and variables at one point. */
interface Place {
  readonly dot: unknown;
  readonly variables: Variables;
}
