/** A method in a template's data, called with the arguments in the template. */
export type TemplateMethod = (...args: readonly unknown[]) => unknown;

/** Reports whether a value is false for `if`: false, 0, null, undefined, empty text or an empty collection. */
export function isEmpty(value: unknown): boolean {
  if (value instanceof Map) return value.size === 0;
  if (Array.isArray(value)) return value.length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === '';
}

/** Formats a value like Go's `%v`: `[a b]`, `map[a:1 b:2]`, `{a b}`. */
export function printValue(value: unknown): string {
  if (value === undefined) return '<no value>';
  if (value === null) return '<nil>';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return `[${value.map(printValue).join(' ')}]`;
  if (value instanceof Map)
    return `map[${sortedEntries(value)
      .map(([key, one]) => `${key}:${printValue(one)}`)
      .join(' ')}]`;
  if (typeof value === 'object') return `{${Object.values(value).filter(isData).map(printValue).join(' ')}}`;
  return '<function>';
}

/** The type of a value in messages. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Map) return 'a map';
  const kinds: Readonly<Record<string, string>> = { string: 'text', number: 'a number', boolean: 'true or false' };
  return kinds[typeof value] ?? (typeof value === 'function' ? 'a function' : 'an object');
}

/** The entries of a map sorted by key, as in Go. */
export function sortedEntries(map: ReadonlyMap<unknown, unknown>): [string, unknown][] {
  return [...map].map(([key, value]): [string, unknown] => [String(key), value]).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The field names of an object. */
export function fieldNames(value: object): string[] {
  return Object.keys(value);
}

/** Finds a field name of an object, exactly or else ignoring case; undefined if there is none. */
export function findField(value: object, name: string): string | undefined {
  if (Object.hasOwn(value, name)) return name;
  const lower = name.toLowerCase();
  return fieldNames(value).find((field) => field.toLowerCase() === lower);
}

/** Converts a value to JSON, with maps as objects sorted by key. */
export function toJson(value: unknown): string {
  return JSON.stringify(value ?? null, (_, one: unknown) =>
    one instanceof Map ? Object.fromEntries(sortedEntries(one)) : one,
  );
}

function isData(value: unknown): boolean {
  return typeof value !== 'function';
}
