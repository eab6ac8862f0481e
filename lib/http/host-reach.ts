import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

/** How far away a host is: this machine, a network that is not public, or the internet. */
export type Reach = 'machine' | 'private' | 'public';

/** Addresses by name of a host. Rejects when there are none. */
export type AddressLookup = (hostname: string) => Promise<readonly string[]>;

/** RFC 6890 and the registries of special-purpose addresses. IPv4 in IPv6 (`::ffff:127.0.0.1`) is found as IPv4. */
const MACHINE = listOf(['0.0.0.0/8', '127.0.0.0/8'], ['::/128', '::1/128']);
const PRIVATE = listOf(
  [
    ...['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16', '198.18.0.0/15'],
    ...['192.0.0.0/24', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  ],
  // The second line holds IPv4 addresses of any kind: compatible, translated, 6to4, Teredo.
  [
    ...['fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8', '100::/64', '2001:db8::/32'],
    ...['::/96', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32'],
  ],
);
const MACHINE_NAME = /(?:^|\.)localhost$|^localhost\.localdomain$|^ip6-(?:localhost|loopback)$/;

/** What a host is by its own name or address, `[…]` around IPv6 or not; names are not looked up: all but localhost are public. */
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
 * Whether what answers at `from` may name `to` as the place to go on: any public host, a host of a private network only when
 * it is itself in one, this machine only when it is on it. The name of `from` is looked up where that decides.
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
