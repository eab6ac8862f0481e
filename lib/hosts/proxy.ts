import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { withoutByteOrderMark } from '../util/index.js';
import type { MachineEnvironment } from './machine.js';
import { noProxyRule, type Target } from './no-proxy.js';

/** Where a setting came from, and what it says. */
interface Setting {
  readonly source: string;
  readonly text: string;
}

/**
 * Finds the proxy for a URL: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` (lower case first, as curl does), else the `default`
 * of `proxies` in Docker's config.json. `ALL_PROXY` is not read, as Docker and podman do not. Loopback hosts are never
 * proxied. The function throws UsageError for an address that cannot be used.
 */
export function proxyFor(machine: MachineEnvironment): (url: URL) => string | undefined {
  const { env } = machine;
  const variable = (name: string): Setting | undefined => {
    const found = [name.toLowerCase(), name].find((each) => (env[each] ?? '') !== '');
    return found === undefined ? undefined : { source: found, text: env[found]! };
  };
  const docker = dockerProxies(machine);
  const http = variable('HTTP_PROXY') ?? docker.http;
  const https = variable('HTTPS_PROXY') ?? docker.https;
  const exempt = noProxyRule((variable('NO_PROXY') ?? docker.none)?.text ?? '');
  const addresses = new Map<string, string>();
  return (url) => {
    const setting = url.protocol === 'https:' ? https : http;
    if (setting === undefined) return undefined;
    const target = targetOf(url);
    if (isLoopback(target.name) || exempt(target)) return undefined;
    let address = addresses.get(setting.text);
    if (address === undefined) addresses.set(setting.text, (address = parseProxy(setting)));
    return address;
  };
}

function targetOf(url: URL): Target {
  const name = url.hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return { name, port: url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port };
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || /^127\./.test(name);
}

function parseProxy({ source, text }: Setting): string {
  // The address may hold a password: it is not repeated.
  const refuse = (why: string): never => {
    throw new UsageError(`the proxy of ${source} cannot be used: ${why}`, { hint: 'it looks like http://HOST:PORT' });
  };
  const trimmed = text.trim();
  let url: URL;
  try {
    url = new URL(trimmed.includes('://') ? trimmed : `http://${trimmed}`);
  } catch {
    return refuse('it is not an address');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return refuse(`imgtool does not speak ${url.protocol}`);
  if (!isEncoded(url.username) || !isEncoded(url.password)) return refuse('a % in its user or password is written %25');
  return url.href;
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

interface DockerProxies {
  readonly http?: Setting;
  readonly https?: Setting;
  readonly none?: Setting;
}

function dockerProxies({ env, home }: MachineEnvironment): DockerProxies {
  const path = join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json');
  let defaults: Record<string, unknown> | undefined;
  try {
    const config = JSON.parse(withoutByteOrderMark(readFileSync(path, 'utf8'))) as {
      proxies?: { default?: Record<string, unknown> };
    } | null;
    defaults = config?.proxies?.default;
  } catch {
    // Whoever looks for credentials there says what is wrong with the file.
    return {};
  }
  const setting = (name: string): Setting | undefined => {
    const text = defaults?.[name];
    return typeof text === 'string' && text !== '' ? { source: `proxies.default.${name} in ${path}`, text } : undefined;
  };
  const [http, https, none] = [setting('httpProxy'), setting('httpsProxy'), setting('noProxy')];
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    ...(none === undefined ? {} : { none }),
  };
}
