import { readFileSync } from 'node:fs';
import type { BlockList } from 'node:net';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { withoutByteOrderMark } from '../util/index.js';
import type { MachineEnvironment } from './machine.js';
import { blockOf, contains } from './no-proxy.js';

/** The registry settings in Docker's daemon.json. */
export interface DaemonRegistries {
  /** Mirrors of Docker Hub, in order. Those with a plain HTTP URL count as insecure. */
  readonly mirrors: readonly { readonly host: string; readonly insecure: boolean }[];
  /** Reports whether `host[:port]` is in `insecure-registries`. */
  readonly insecure: (host: string) => boolean;
}

/** Reads the daemon.json of rootless Docker, or else the machine's. Throws UsageError for an invalid file. */
export function readDaemonRegistries({ home }: MachineEnvironment): DaemonRegistries {
  for (const path of [join(home, '.config/docker/daemon.json'), '/etc/docker/daemon.json']) {
    let text: string;
    try {
      text = withoutByteOrderMark(readFileSync(path, 'utf8'));
    } catch {
      continue;
    }
    try {
      return parse(JSON.parse(text) as Record<string, unknown>);
    } catch (cause) {
      throw new UsageError(`${path} is invalid: ${(cause as Error).message}`, { cause });
    }
  }
  return { mirrors: [], insecure: () => false };
}

function parse(config: Record<string, unknown>): DaemonRegistries {
  const texts = (name: string): string[] => {
    const value = config[name] ?? [];
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) {
      throw new Error(`${name} is not a list of strings`);
    }
    return value;
  };
  const hosts = new Set<string>();
  const blocks: BlockList[] = [];
  for (const text of texts('insecure-registries')) {
    const entry = text.replace(/^https?:\/\//, '').replace(/\/+$/, '');
    const block = blockOf(entry);
    if (block === undefined) hosts.add(entry);
    else blocks.push(block);
  }
  const inBlock = (host: string): boolean => {
    const name = new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '');
    return blocks.some((block) => contains(block, name));
  };
  return {
    mirrors: texts('registry-mirrors').map((text) => {
      const url = new URL(text.includes('://') ? text : `https://${text}`);
      return { host: url.host, insecure: url.protocol === 'http:' };
    }),
    insecure: (host) => hosts.has(host) || inBlock(host),
  };
}
