import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.js';
import { parseRepository } from '../spec/index.js';
import type { MachineEnvironment } from './machine.js';
import { parseConfToml, registriesConfFiles } from './registries-conf.js';

/** A name as people type it, without host; its tag and digest behind it. */
const SHORT_NAME = /^([a-z0-9][a-z0-9._/-]*)((?::[\w.-]+)?(?:@.+)?)$/;

/**
 * Reads the aliases of registries.conf and its drop-ins (containers-registries.conf(5), "aliases"): resolves with what makes
 * the full name of a short one, and leaves every other name as it is. A later file wins, and forgets an alias by an empty one.
 * Throws UsageError for a file that makes no sense; what was made throws it for an alias that is no full name.
 */
export async function shortNames(machine: MachineEnvironment): Promise<(name: string) => string> {
  const aliases = new Map<string, { readonly full: string; readonly file: string }>();
  for (const file of registriesConfFiles(machine)) {
    const text = readFileSync(file, 'utf8');
    if (!/^\s*\[?\s*aliases\b/m.test(text)) continue;
    const { aliases: found } = parseConfToml((await import('smol-toml')).parse, text, file);
    for (const [name, full] of Object.entries(typeof found === 'object' && found !== null ? found : {}))
      if (typeof full === 'string') aliases.set(name, { full, file });
  }
  return (input) => {
    const [, name = '', rest = ''] = SHORT_NAME.exec(input) ?? [];
    const alias = hasHost(name) ? undefined : aliases.get(name);
    if (alias === undefined || alias.full === '') return input;
    if (!hasHost(alias.full) || !isRepository(alias.full))
      throw new UsageError(
        `${alias.file} makes no sense: the alias ${JSON.stringify(name)} is not for HOST[:PORT]/REPOSITORY`,
        { hint: 'see containers-registries.conf(5)' },
      );
    return `${alias.full}${rest}`;
  };
}

/** As containers/image tells hosts from the first part of a path. */
function hasHost(name: string): boolean {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  return first === 'localhost' || /[.:]/.test(first);
}

function isRepository(name: string): boolean {
  try {
    parseRepository(name);
    return true;
  } catch {
    return false;
  }
}
