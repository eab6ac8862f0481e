import { evaluate } from './evaluate.js';
import { FUNCTIONS } from './functions.js';
import type { Body, Command, Pipe } from './nodes.js';
import { parseNodes } from './parse.js';
import { templateErrorsOf } from './template-error.js';

/** A parsed template. */
export interface Template {
  /** Names of all fields used in it; `.` for the whole data. */
  readonly fields: ReadonlySet<string>;
  /** True if it begins with `{{range .}}`, podman's form for a whole list instead of one element. */
  readonly takesList: boolean;
  /**
   * Renders the template. Objects have fields, maps have keys, and functions in an object's fields are called with the
   * given arguments. Throws UsageError that names the position.
   */
  execute(data: unknown): string;
}

/** Parses a template. Throws UsageError that names the position of an invalid or unsupported part. */
export function parseTemplate(text: string): Template {
  const templateError = templateErrorsOf(text);
  const isFunction = (name: string): boolean => name === 'and' || name === 'or' || Object.hasOwn(FUNCTIONS, name);
  const body = parseNodes(text, templateError, isFunction);
  return {
    fields: new Set(fieldsOf(body)),
    takesList: takesList(body),
    execute: (data) => evaluate(body, data, templateError),
  };
}

function takesList([first]: Body): boolean {
  if (first?.kind !== 'range' || first.pipe.commands.length !== 1) return false;
  const [[operand, ...rest]] = first.pipe.commands as readonly [Command];
  return operand.kind === 'dot' && operand.fields.length === 0 && rest.length === 0;
}

function fieldsOf(body: Body): string[] {
  return body.flatMap((node) => {
    if (node.kind === 'output') return fieldsOfPipe(node.pipe);
    return 'body' in node ? [...fieldsOfPipe(node.pipe), ...fieldsOf(node.body), ...fieldsOf(node.otherwise)] : [];
  });
}

function fieldsOfPipe({ commands }: Pipe): string[] {
  return commands
    .flat()
    .flatMap((operand) => [
      ...('fields' in operand ? operand.fields.map(({ name }) => name) : []),
      ...(operand.kind === 'dot' && operand.fields.length === 0 ? ['.'] : []),
      ...(operand.kind === 'pipe' ? fieldsOfPipe(operand.pipe) : []),
    ]);
}
