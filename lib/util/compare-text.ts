/**
 * Orders by code units: what `sort` takes, for identifiers and times. `localeCompare` orders them no better, and reads tables of
 * languages for 12 ms when it is first called.
 */
export function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
