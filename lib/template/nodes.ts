/** A parsed template. Positions (`at`) are offsets into its text. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipe: Pipe }
  | Block
  | { readonly kind: 'break' | 'continue' };

/** An action with an `end`. */
export interface Block {
  readonly kind: 'if' | 'with' | 'range';
  readonly pipe: Pipe;
  readonly body: Body;
  /** The body after `else`. */
  readonly otherwise: Body;
}

export type Body = readonly Node[];

/** Commands, each receiving the previous one's value; the last value may be assigned to variables. */
export interface Pipe {
  readonly at: number;
  /** Variables to assign; `range` may have two. */
  readonly variables: readonly string[];
  /** True for `:=` (declaration), false for `=` (assignment). */
  readonly declares: boolean;
  readonly commands: readonly Command[];
}

/** A function, method or value, and its arguments. */
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
