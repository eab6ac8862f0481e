import { isMapping, type ConfigFile } from './config-file.js';

/** Key that holds settings of single registries, by host. */
export const REGISTRIES_KEY = 'registries';
/** What can be set for one registry, and of which kind it is. */
export const REGISTRY_KEYS = { 'tls-verify': 'boolean', 'token-service': 'string' } as const;

/** Settings of one registry. */
export interface RegistrySettings {
  readonly 'tls-verify': boolean;
  /** Host of its token service, which may get passwords. */
  readonly 'token-service': string;
}

/** Settings of one registry of the files, the first file that has one winning. */
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
