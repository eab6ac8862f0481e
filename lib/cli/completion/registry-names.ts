import type { Candidate } from './store-names.js';

/** Source of names. */
export interface RegistryNames {
  /** Registries known to this user. */
  hosts(): Promise<readonly string[]>;
  /** Repositories of a registry. */
  repositories(host: string): Promise<readonly string[]>;
  /** Tags of `HOST/REPOSITORY`, or of a short name. */
  tags(repository: string): Promise<readonly string[]>;
}

const SCHEME = /^docker(?:-v1)?:\/\//;

/** Registry names that begin with `text`: first a registry, then a repository and, with `withTags`, a tag. */
export async function registryNames(text: string, from: RegistryNames, withTags: boolean): Promise<Candidate[]> {
  const scheme = SCHEME.exec(text)?.[0] ?? '';
  const name = text.slice(scheme.length);
  return (await namesOf(name, from, withTags)).map((value) => ({ value: scheme + value }));
}

async function namesOf(name: string, from: RegistryNames, withTags: boolean): Promise<string[]> {
  const hosts = [...new Set(await from.hosts())].filter((host) => host !== 'docker.io');
  const known = hosts.filter((host) => host.startsWith(name));
  if (known.length > 0) return known.map((host) => `${host}/`);
  const [host = '', ...path] = name.split('/');
  const isHost = path.length > 0 && (/[.:]/.test(host) || host === 'localhost');
  const colon = name.lastIndexOf(':');
  if (withTags && colon > name.lastIndexOf('/')) {
    const repository = name.slice(0, colon);
    return (await from.tags(repository)).map((tag) => `${repository}:${tag}`);
  }
  return isHost ? (await from.repositories(host)).map((repository) => `${host}/${repository}`) : [];
}
