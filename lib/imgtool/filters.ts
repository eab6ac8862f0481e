import { UsageError } from '../errors.js';
import { closest, parseAge } from '../util/index.js';

/** Values of the option `filters` by key; `label!` holds those of `label!=`. */
export type Filters<K extends string> = ReadonlyMap<K, readonly string[]>;

/** Parses `KEY=VALUE` texts in the syntax of docker and podman. Throws UsageError that lists the valid keys. */
export function parseFilters<K extends string>(
  method: string,
  texts: readonly string[],
  keys: readonly K[],
): Filters<K> {
  const filters = new Map<K, string[]>();
  for (const text of texts) {
    const [, key = '', value] = /^([a-z]+!?)=(.*)$/s.exec(text) ?? [];
    if (value === undefined || !keys.includes(key as K)) {
      const name = text.split(/!?=/, 1)[0]!.slice(0, 100);
      const near = closest(name, keys);
      throw new UsageError(`${method}: there is no filter ${JSON.stringify(text.slice(0, 100))}`, {
        hint:
          near === undefined || near === name
            ? `write KEY=VALUE with one of ${keys.join(', ')}`
            : `did you mean ${near}=?`,
      });
    }
    filters.set(key as K, [...(filters.get(key as K) ?? []), value]);
  }
  return filters;
}

/** A boolean filter; undefined when it is not given. Throws UsageError. */
export function booleanFilter(key: string, values: readonly string[] = []): boolean | undefined {
  const value = values.at(-1);
  if (value === undefined) return undefined;
  if (/^(true|1)$/i.test(value)) return true;
  if (/^(false|0)$/i.test(value)) return false;
  throw new UsageError(`the filter ${key} does not take ${JSON.stringify(value.slice(0, 100))}`, {
    hint: `write ${key}=true or ${key}=false`,
  });
}

/** Parses an age (`24h`), seconds since 1970 or an ISO 8601 time into ms since 1970. Throws UsageError. */
export function timeFilter(key: string, value: string): number {
  if (/^\d+[smhdw]$/.test(value)) return Date.now() - parseAge(value);
  if (/^\d{9,}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const time = Date.parse(value);
  if (!Number.isNaN(time)) return time;
  throw new UsageError(`the filter ${key} does not take ${JSON.stringify(value.slice(0, 100))}`, {
    hint: `write an age or a time: ${key}=24h, ${key}=2026-01-31`,
  });
}

/** Reports whether labels meet all of `label=KEY`, `label=KEY=VALUE` and `label!=…`. */
export function labelsMatch(
  labels: Readonly<Record<string, string>>,
  {
    present = [],
    absent = [],
  }: { readonly present?: readonly string[] | undefined; readonly absent?: readonly string[] | undefined },
): boolean {
  const has = (text: string): boolean => {
    const equals = text.indexOf('=');
    const key = equals < 0 ? text : text.slice(0, equals);
    return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === text.slice(equals + 1));
  };
  return present.every(has) && !absent.some(has);
}
