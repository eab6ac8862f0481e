import type { OptionSpec } from './option.js';

/** Options of other tools that are refused with the same hint. */
export function refusing(options: readonly string[], hint: string): Readonly<Record<string, string>> {
  return Object.fromEntries(options.map((option) => [option, hint]));
}

/** A flag of another tool that is accepted but changes nothing here. */
export function withoutEffect(name: string, why: string, more: Partial<OptionSpec> = {}): OptionSpec {
  return { name, default: false, summary: `no effect: ${why}`, ...more };
}
