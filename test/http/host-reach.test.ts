import { expect } from 'chai';
import { TransportError } from '../../lib/errors.js';
import { mayLeadTo, reachOf, type Reach } from '../../lib/http/host-reach.js';
import { nextHop } from '../../lib/http/redirect.js';
import { NOT_PUBLIC } from '../helpers/not-public.js';
import { rejection } from '../helpers/rejection.js';

const MACHINE = [
  ...['127.0.0.1', '127.255.0.9', '0.0.0.0', '0.1.2.3', '[::]', '[::1]', '[::ffff:127.0.0.1]', '[::ffff:0.0.0.0]'],
  ...['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'ip6-localhost', '2130706433', '0x7f.1', '127.0.0.1.'],
];
const PRIVATE = [
  ...['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '169.254.169.254', '224.0.0.1'],
  ...['255.255.255.255', '192.0.0.8', '198.18.0.1', '[fc00::1]', '[fd12::1]', '[fe80::1]', '[febf::1]', '[ff02::1]'],
  ...['[::ffff:10.0.0.1]', '[::ffff:a9fe:a9fe]', '[64:ff9b::10.0.0.1]', '[2002:a00:1::]', '[fec0::1]', '[::10.0.0.1]'],
];
const PUBLIC = [
  ...['1.1.1.1', '172.15.0.1', '172.32.0.1', '100.63.0.1', '100.128.0.1', '11.0.0.1', '169.253.0.1', '192.169.0.1'],
  ...['[2606:4700::1111]', '[::ffff:1.1.1.1]', 'reg.example', 'localhost.example', 'notlocalhost', '10.example'],
];

describe('http: hosts that are not public', () => {
  const url = (host: string): URL => new URL(`https://${host}/x`);
  const lists: Record<Reach, readonly string[]> = { machine: MACHINE, private: PRIVATE, public: PUBLIC };
  for (const [reach, hosts] of Object.entries(lists))
    it(`${hosts.slice(0, 3).join(', ')} … are ${reach}`, () => {
      for (const host of hosts) expect(reachOf(url(host).hostname), host).to.equal(reach);
    });

  it('a public host leads to public ones only, one of a private network not to this machine, this machine anywhere', async () => {
    const never = (): Promise<never> => Promise.reject(new Error('not asked'));
    const [machine, near, far] = ['127.0.0.1:1', '10.0.0.1', '1.1.1.1'].map(url) as [URL, URL, URL];
    const answers = async (from: URL): Promise<boolean[]> =>
      Promise.all([machine, near, far].map((to) => mayLeadTo(from, to, never)));
    expect(await answers(far)).to.deep.equal([false, false, true]);
    expect(await answers(near)).to.deep.equal([false, true, true]);
    expect(await answers(machine)).to.deep.equal([true, true, true]);
  });

  it('a registry with a name is where all its addresses are; one whose name is not known is public', async () => {
    const named = (addresses: readonly string[], to: string): Promise<boolean> =>
      mayLeadTo(url('registry.lan'), url(to), () => Promise.resolve(addresses));
    expect(await named(['10.0.0.5'], '192.168.0.1')).to.equal(true);
    expect(await named(['fd00::5', '10.0.0.5'], '10.0.0.6')).to.equal(true);
    expect(await named(['10.0.0.5', '1.1.1.1'], '10.0.0.6')).to.equal(false);
    expect(await named(['10.0.0.5'], '127.0.0.1')).to.equal(false);
    expect(await named([], '10.0.0.6')).to.equal(false);
    expect(
      await mayLeadTo(url('registry.lan'), url('10.0.0.6'), () => Promise.reject(new Error('ENOTFOUND'))),
    ).to.equal(false);
  });

  for (const host of NOT_PUBLIC)
    it(`are not reached from a public one by a redirect: ${host}`, async () => {
      const hop = { method: 'GET', url: url('1.1.1.1'), headers: {}, body: undefined, secretBody: false } as const;
      expect(await rejection(nextHop(hop, 302, `https://${host}/x`, new Set()))).to.be.instanceOf(TransportError);
    });
});
