import { UsageError } from '../errors.js';
import { namesOf, type CommandSpec } from './command.js';
import { isMapping, type ConfigFile } from './config-file.js';
import { closest } from '../util/index.js';
import { GLOBAL_OPTIONS } from './options/global.js';
import { configPathsOf } from './options/option.js';
import { REGISTRIES_KEY, REGISTRY_KEYS, type RegistrySettings } from './registry-settings.js';

/** Refuses unknown keys, so that typos are noticed. Throws UsageError. */
export function checkConfigFile({ path, document }: ConfigFile, commands: readonly CommandSpec[]): void {
  const known = new Set(
    [
      ...GLOBAL_OPTIONS.flatMap((option) => configPathsOf(option, [[]])),
      ...commands.flatMap((command) => command.options.flatMap((option) => configPathsOf(option, namesOf(command)))),
    ].map((path) => path.join('.')),
  );
  const inner = new Set([...known].flatMap((key) => parentsOf(key)));
  const visit = (node: Record<string, unknown>, prefix: string): void => {
    for (const [name, value] of Object.entries(node)) {
      const key = `${prefix}${name}`;
      if (key === REGISTRIES_KEY) checkRegistries(value, path);
      else if (known.has(key)) continue;
      else if (inner.has(key) && isMapping(value)) visit(value, `${key}.`);
      else throw unknownKeyError(key, [...known, REGISTRIES_KEY], path);
    }
  };
  visit(document, '');
}

function checkRegistries(value: unknown, path: string): void {
  if (!isMapping(value)) throw new UsageError(`${REGISTRIES_KEY} in ${path} is not a mapping of hosts to settings`);
  for (const [host, settings] of Object.entries(value)) {
    if (!isMapping(settings)) throw new UsageError(`${REGISTRIES_KEY}.${host} in ${path} is not a mapping`);
    for (const [key, setting] of Object.entries(settings)) {
      const kind = Object.hasOwn(REGISTRY_KEYS, key) ? REGISTRY_KEYS[key as keyof RegistrySettings] : undefined;
      if (kind === undefined) throw unknownKeyError(key, Object.keys(REGISTRY_KEYS), path);
      if (typeof setting === kind) continue;
      const wanted = kind === 'boolean' ? 'true or false' : 'text';
      throw new UsageError(`${REGISTRIES_KEY}.${host}.${key} in ${path} is not ${wanted}`);
    }
  }
}

function parentsOf(key: string): string[] {
  const words = key.split('.');
  return words.slice(1).map((_, index) => words.slice(0, index + 1).join('.'));
}

function unknownKeyError(key: string, known: readonly string[], path: string): UsageError {
  const near = closest(key, known);
  return new UsageError(`config file ${path} has an unknown key ${JSON.stringify(key)}`, {
    hint:
      near === undefined ? 'see "imgtool config show" for the keys there are' : `did you mean ${JSON.stringify(near)}?`,
  });
}
