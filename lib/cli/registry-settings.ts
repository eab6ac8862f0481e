import { isMapping, type ConfigFile } from './config-file.js';

/** Config key for settings per registry, by host. */
export const REGISTRIES_KEY = 'registries';
/** Settings per registry and their types. */
export const REGISTRY_KEYS = { 'tls-verify': 'boolean', 'token-service': 'string' } as const;

/** Settings of one registry. */
export interface RegistrySettings {
  readonly 'tls-verify': boolean;
  /** Host of its token service, which may receive passwords. */
  readonly 'token-service': string;
}

/** A setting of one registry, from the first file that has it. */
export function registrySetting<K extends keyof RegistrySettings>(
  files: readonly ConfigFile[],
  host: string,
  key: K,
): RegistrySettings[K] | undefined {
  for (const { document } of files) {
    const registries = document[REGISTRIES_KEY];
    const settings = isMapping(registries) ? registries[host] : undefined;
    const value = isMapping(settings) ? settings[key] : undefined;
    if (typeof value === REGISTRY_KEYS[key]) return value as RegistrySettings[K];
  }
  return undefined;
}
