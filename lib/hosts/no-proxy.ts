import { BlockList, isIP, isIPv6 } from 'node:net';

/** A host and port to match; `port` is always set. */
export interface Target {
  /** Without brackets. */
  readonly name: string;
  readonly port: string;
}

/**
 * Parses a NO_PROXY list like Go's golang.org/x/net/http/httpproxy: `*`; addresses and CIDR blocks; `name` (itself and
 * all subdomains); `.name` and `*.name` (only subdomains); each optionally with `:port`. Separated by commas or
 * whitespace.
 */
export function noProxyRule(list: string): (target: Target) => boolean {
  const rules = list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map((entry) => ruleOf(entry.toLowerCase()));
  return (target) => rules.some((rule) => rule(target));
}

function ruleOf(entry: string): (target: Target) => boolean {
  if (entry === '*') return () => true;
  const block = blockOf(entry);
  if (block !== undefined) return ({ name }) => contains(block, name);
  const { name: wanted, port: wantedPort } = splitPort(entry);
  const fits = (name: string): boolean => {
    if (isIP(wanted) !== 0) return contains(blockOf(`${wanted}/${isIPv6(wanted) ? 128 : 32}`)!, name);
    const below = wanted.replace(/^\*?\./, '');
    return name.endsWith(`.${below}`) || (below === wanted && name === wanted);
  };
  return ({ name, port }) => fits(name) && (wantedPort === undefined || wantedPort === port);
}

/** The addresses of a CIDR block (`10.0.0.0/8`); undefined for anything else. */
export function blockOf(entry: string): BlockList | undefined {
  const [address = '', bits = ''] = entry.split('/');
  const family = isIP(address);
  if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return undefined;
  const block = new BlockList();
  block.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  return block;
}

/** Reports whether `name`, an address without brackets, is in the block. */
export function contains(block: BlockList, name: string): boolean {
  const family = isIP(name);
  return family !== 0 && block.check(name, family === 4 ? 'ipv4' : 'ipv6');
}

function splitPort(entry: string): { readonly name: string; readonly port: string | undefined } {
  const match = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry) ?? /^([^:]*)(?::(\d+))?$/.exec(entry);
  return match === null ? { name: entry, port: undefined } : { name: match[1]!, port: match[2] };
}
