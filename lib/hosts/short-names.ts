import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.js';
import { parseRepository } from '../spec/index.js';
import type { MachineEnvironment } from './machine.js';
import { parseConfToml, registriesConfFiles } from './registries-conf.js';

/** A short name without a host, and its tag and digest. */
const SHORT_NAME = /^([a-z0-9][a-z0-9._/-]*)((?::[\w.-]+)?(?:@.+)?)$/;

/**
 * Reads the aliases of registries.conf and its drop-ins (containers-registries.conf(5), "aliases"). Resolves with a
 * function that expands short names and returns other names unchanged. A later file overrides earlier ones; an empty
 * alias removes one. Throws UsageError for an invalid file; the function throws it for an alias that is not a full
 * name.
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
        `${alias.file} is invalid: the alias ${JSON.stringify(name)} does not stand for HOST[:PORT]/REPOSITORY`,
        { hint: 'see containers-registries.conf(5)' },
      );
    return `${alias.full}${rest}`;
  };
}

/** Recognizes a host in the first path component, like containers/image. */
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
