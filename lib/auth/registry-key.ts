import type { RegistryKey } from './types.js';

/** What Docker keeps the login of its Hub by. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]);

/** Reads a key of a credentials file or what a user wrote: `host`, `https://host/v1/` (Docker), `host/path` (containers). */
export function parseRegistryKey(text: string): RegistryKey {
  const scheme = /^https?:\/\//i.exec(text)?.[0] ?? '';
  const [host = '', ...rest] = text.slice(scheme.length).split('/');
  const path = rest.filter((part) => part !== '').join('/');
  // Docker's keys are URLs of an API: the path says nothing about repositories.
  const isUrl = scheme !== '' || path === 'v1' || path === 'v2';
  return { host: canonicalHost(host), path: isUrl ? '' : path };
}

/** The key as it is written to credentials files: what Docker, podman and others understand. */
export function fileKey({ host, path }: RegistryKey): string {
  if (path !== '') return `${host}/${path}`;
  return serverName(host);
}

/** What credential helpers know a registry by. */
export function serverName(host: string): string {
  return canonicalHost(host) === 'docker.io' ? DOCKER_HUB_KEY : host;
}

/** Whether two keys mean the same. */
export function sameKey(one: RegistryKey, other: RegistryKey): boolean {
  return one.host === other.host && one.path === other.path;
}

/** Rank of a login for exactly the host. */
export const EXACT_HOST = 1_000_000;

/** How specific `key` is for a repository, higher wins: an exact host, then the longer path. Undefined: it is for others. */
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

/** `*` stands for one whole label, so that `*.example.com` is neither `example.com` nor `a.b.example.com`. */
function matchesLabels(pattern: string, host: string): boolean {
  const labels = pattern.split('.');
  const given = host.split('.');
  if (!labels.includes('*') || labels.length !== given.length || literalLabels(pattern) === 0) return false;
  return labels.every((label, index) => (label === '*' ? /^[^:]+$/.test(given[index]!) : label === given[index]));
}

function literalLabels(pattern: string): number {
  return pattern.split('.').filter((label) => label !== '*').length;
}
