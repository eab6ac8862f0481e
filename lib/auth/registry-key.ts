import type { RegistryKey } from './types.js';

/** Docker's key for the login of Docker Hub. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]);

/** Parses a key of a credentials file or user input: `host`, `https://host/v1/` (Docker), `host/path` (containers). */
export function parseRegistryKey(text: string): RegistryKey {
  const scheme = /^https?:\/\//i.exec(text)?.[0] ?? '';
  const [host = '', ...rest] = text.slice(scheme.length).split('/');
  const path = rest.filter((part) => part !== '').join('/');
  // Docker's keys are API URLs, whose path does not name a repository.
  const isUrl = scheme !== '' || path === 'v1' || path === 'v2';
  return { host: canonicalHost(host), path: isUrl ? '' : path };
}

/** The key in credentials files, as understood by Docker, podman and others. */
export function fileKey({ host, path }: RegistryKey): string {
  if (path !== '') return `${host}/${path}`;
  return serverName(host);
}

/** The registry's name for credential helpers. */
export function serverName(host: string): string {
  return canonicalHost(host) === 'docker.io' ? DOCKER_HUB_KEY : host;
}

/** Reports whether two keys are equivalent. */
export function sameKey(one: RegistryKey, other: RegistryKey): boolean {
  return one.host === other.host && one.path === other.path;
}

/** Rank of a login for exactly this host. */
export const EXACT_HOST = 1_000_000;

/** How specific `key` is for a repository; higher is better: an exact host, then the longer path. Undefined when it does not match. */
export function rankOf(key: RegistryKey, host: string, repository = ''): number | undefined {
  const wanted = canonicalHost(host);
  const base = key.host === wanted ? EXACT_HOST : matchesLabels(key.host, wanted) ? literalLabels(key.host) : undefined;
  if (base === undefined) return undefined;
  if (key.path === '') return base;
  const inside = repository === key.path || repository.startsWith(`${key.path}/`);
  return inside ? base + key.path.length * 1000 : undefined;
}

function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return DOCKER_HUB_NAMES.has(lower) ? 'docker.io' : lower;
}

/** `*` matches one whole label: `*.example.com` matches neither `example.com` nor `a.b.example.com`. */
function matchesLabels(pattern: string, host: string): boolean {
  const labels = pattern.split('.');
  const given = host.split('.');
  if (!labels.includes('*') || labels.length !== given.length || literalLabels(pattern) === 0) return false;
  return labels.every((label, index) => (label === '*' ? /^[^:]+$/.test(given[index]!) : label === given[index]));
}

function literalLabels(pattern: string): number {
  return pattern.split('.').filter((label) => label !== '*').length;
}
