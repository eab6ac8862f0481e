import { isIP } from 'node:net';
import { SyntaxProblem } from './problem.js';

/** A parsed port of EXPOSE. */
interface PortSpec {
  /** In the config's form: `8000/tcp`. */
  readonly ports: readonly string[];
  /** As written: `TCP`. */
  readonly protocol: string;
  /** True with an address or a host port, which EXPOSE ignores. */
  readonly hasHost: boolean;
}

/** Parses `[[ip:]host:]port[-port][/protocol]`. Throws SyntaxProblem. */
export function parsePort(text: string): PortSpec {
  const parts = text.split(':');
  const container = parts.at(-1)!;
  const host = parts.length > 1 ? parts.at(-2)! : '';
  const address = parts
    .slice(0, -2)
    .join(':')
    .replace(/^\[(.*)\]$/, '$1');
  const [range = '', protocol = ''] = splitOnce(container, '/');
  if (!['', 'tcp', 'udp', 'sctp'].includes(protocol.toLowerCase()))
    throw new SyntaxProblem(`${JSON.stringify(text)} is not a port`, 'the protocol is tcp, udp or sctp');
  if (address !== '' && isIP(address) === 0)
    throw new SyntaxProblem(`${JSON.stringify(text)} is not a port: ${JSON.stringify(address)} is not an address`);
  const [first, last] = parseRange(range, text);
  if (host !== '') {
    const [from, to] = parseRange(host, text);
    if (last !== first && last - first !== to - from)
      throw new SyntaxProblem(`${JSON.stringify(text)}: the two ranges of ports differ in length`);
  }
  const kind = protocol === '' ? 'tcp' : protocol.toLowerCase();
  const ports = Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${kind}`);
  return { ports, protocol, hasHost: host !== '' || address !== '' };
}

function parseRange(range: string, text: string): [first: number, last: number] {
  const [start = '', end = start] = splitOnce(range, '-');
  const isRange = [start, end].every((port) => /^\d{1,5}$/.test(port) && Number(port) <= 65_535);
  if (!isRange || Number(end) < Number(start))
    throw new SyntaxProblem(
      `${JSON.stringify(text)} is not a port`,
      'a port is a number up to 65535, or a range such as 8000-8010',
    );
  return [Number(start), Number(end)];
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
