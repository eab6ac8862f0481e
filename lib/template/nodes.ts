/** A template, parsed. Positions (`at`) are offsets into the text of the template. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipe: Pipe }
  | Block
  | { readonly kind: 'break' | 'continue' };

/** What has an `end`. */
export interface Block {
  readonly kind: 'if' | 'with' | 'range';
  readonly pipe: Pipe;
  readonly body: Body;
  /** What follows `else`. */
  readonly otherwise: Body;
}

export type Body = readonly Node[];

/** Commands, each given the value of the one before; the last one's value may go to variables. */
export interface Pipe {
  readonly at: number;
  /** Names of variables that get the value; `range` may have two. */
  readonly variables: readonly string[];
  /** `:=` makes the variables, `=` sets them. */
  readonly declares: boolean;
  readonly commands: readonly Command[];
}

/** A function, a method or a value, and arguments. */
export type Command = readonly [Operand, ...Operand[]];

export type Operand = { readonly at: number } & (
  | { readonly kind: 'dot'; readonly fields: readonly Field[] }
  | { readonly kind: 'variable'; readonly name: string; readonly fields: readonly Field[] }
  | { readonly kind: 'pipe'; readonly pipe: Pipe; readonly fields: readonly Field[] }
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'function'; readonly name: string }
);

/** One `.Name` of a chain. */
export interface Field {
  readonly at: number;
  readonly name: string;
}
