import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

/** Location of a host: this machine, a private network, or the internet. */
export type Reach = 'machine' | 'private' | 'public';

/** Resolves a host name to its addresses. Rejects when there are none. */
type AddressLookup = (hostname: string) => Promise<readonly string[]>;

/** RFC 6890 and IANA's special-purpose address registries. IPv4-mapped IPv6 (`::ffff:127.0.0.1`) is matched as IPv4. */
const MACHINE = listOf(['0.0.0.0/8', '127.0.0.0/8'], ['::/128', '::1/128']);
const PRIVATE = listOf(
  [
    ...['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16', '198.18.0.0/15'],
    ...['192.0.0.0/24', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  ],
  // The second line lists IPv6 ranges that embed IPv4 addresses: compatible, translated, 6to4, Teredo.
  [
    ...['fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8', '100::/64', '2001:db8::/32'],
    ...['::/96', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32'],
  ],
);
const MACHINE_NAME = /(?:^|\.)localhost$|^localhost\.localdomain$|^ip6-(?:localhost|loopback)$/;

/**
 * Classifies a host by its name or address (IPv6 with or without `[…]`). Does not resolve names: every name except
 * localhost counts as public.
 */
export function reachOf(hostname: string): Reach {
  const name = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.+$/, '')
    .toLowerCase();
  const version = isIP(name);
  if (version === 0) return MACHINE_NAME.test(name) ? 'machine' : 'public';
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (MACHINE.check(name, family)) return 'machine';
  return PRIVATE.check(name, family) ? 'private' : 'public';
}

/**
 * Reports whether a response from `from` may redirect to `to`. A public host is always allowed, a host in a private
 * network only when `from` is in one too, and this machine only when `from` is this machine. Resolves the name of
 * `from` only when the result depends on it.
 */
export async function mayLeadTo(from: URL, to: URL, find: AddressLookup = addressesOf): Promise<boolean> {
  const wanted = CLOSENESS[reachOf(to.hostname)];
  if (wanted === 0 || to.hostname === from.hostname) return true;
  const own = reachOf(from.hostname);
  if (own !== 'public' || isIP(from.hostname.replace(/^\[|\]$/g, '')) !== 0) return CLOSENESS[own] >= wanted;
  try {
    const addresses = await find(from.hostname);
    return addresses.length > 0 && addresses.every((address) => CLOSENESS[reachOf(address)] >= wanted);
  } catch {
    return false;
  }
}

const CLOSENESS: Readonly<Record<Reach, number>> = { machine: 2, private: 1, public: 0 };

async function addressesOf(hostname: string): Promise<string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address);
}

function listOf(ipv4: readonly string[], ipv6: readonly string[]): BlockList {
  const list = new BlockList();
  for (const [family, subnets] of [['ipv4', ipv4] as const, ['ipv6', ipv6] as const])
    for (const subnet of subnets) {
      const [address, length] = subnet.split('/') as [string, string];
      list.addSubnet(address, Number(length), family);
    }
  return list;
}
