import type { OptionSpec } from './option.js';

/** Options of peers that are refused with the same hint. */
export function refusing(options: readonly string[], hint: string): Readonly<Record<string, string>> {
  return Object.fromEntries(options.map((option) => [option, hint]));
}

/** Flags of peers that change nothing here, because it is so anyway. */
export function withoutEffect(name: string, why: string, more: Partial<OptionSpec> = {}): OptionSpec {
  return { name, default: false, summary: `no effect: ${why}`, ...more };
}
