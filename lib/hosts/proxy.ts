import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { withoutByteOrderMark } from '../util/index.js';
import type { MachineEnvironment } from './machine.js';
import { noProxyRule, type Target } from './no-proxy.js';

/** The source and value of a setting. */
interface Setting {
  readonly source: string;
  readonly text: string;
}

/**
 * Returns a function that finds the proxy for a URL: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` (lower case first, like
 * curl), or else `proxies.default` of Docker's config.json. Like Docker and podman, ignores `ALL_PROXY`. Never proxies
 * loopback hosts. The function throws UsageError for an unusable proxy URL.
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
  // The URL may contain a password, so it is not quoted.
  const refuse = (why: string): never => {
    throw new UsageError(`the proxy of ${source} cannot be used: ${why}`, { hint: 'write it as http://HOST:PORT' });
  };
  const trimmed = text.trim();
  let url: URL;
  try {
    url = new URL(trimmed.includes('://') ? trimmed : `http://${trimmed}`);
  } catch {
    return refuse('it is not a URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return refuse(`imgtool does not support ${url.protocol}`);
  if (!isEncoded(url.username) || !isEncoded(url.password))
    return refuse('write a % in its user name or password as %25');
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
    // The code that looks for credentials there reports what is wrong with the file.
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
