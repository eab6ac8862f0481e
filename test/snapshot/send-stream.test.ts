import { expect } from 'chai';
import { crc32c } from '../../lib/snapshot/send/crc32c.js';
import { SendReplay } from '../../lib/snapshot/send/replay.js';
import { SendStreamParser, SendSurprise } from '../../lib/snapshot/send/stream.js';

const header = (version: number): Buffer => Buffer.concat([Buffer.from('btrfs-stream\0'), u32(version)]);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A command with its checksum; attributes as [number, text]. */
function command(number: number, ...attributes: [number, string][]): Buffer {
  const body = attributes.map(([type, text]) => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(type, 0);
    head.writeUInt16LE(text.length, 2);
    return Buffer.concat([head, Buffer.from(text, 'latin1')]);
  });
  const bytes = Buffer.concat([Buffer.alloc(10), ...body]);
  bytes.writeUInt32LE(bytes.length - 10, 0);
  bytes.writeUInt16LE(number, 4);
  bytes.writeUInt32LE(crc32c(0, bytes), 6);
  return bytes;
}

const [SNAPSHOT, MKDIR, RENAME, RMDIR, CHMOD, END] = [2, 4, 9, 12, 17 + 1, 21];
const [PATH, PATH_TO] = [15, 16];
const stream = (...commands: Buffer[]): Buffer =>
  Buffer.concat([header(1), command(SNAPSHOT), ...commands, command(END)]);

/** Paths that the stream makes suspect, fed in pieces of `piece` bytes. */
function suspects(bytes: Buffer, piece: number = bytes.length): string[] {
  const [parser, replay] = [new SendStreamParser(), new SendReplay()];
  for (let at = 0; at < bytes.length; at += piece)
    for (const item of parser.push(bytes.subarray(at, at + piece))) replay.apply(item);
  if (!parser.atBoundary) throw new SendSurprise('cut off');
  const found: string[] = [];
  const list = (node: ReturnType<SendReplay['suspects']>['root'], path: string): void => {
    if (node.touched) found.push(path);
    node.children.forEach((child, name) => list(child, `${path}/${name}`));
  };
  list(replay.suspects().root, '');
  return found.sort();
}

describe('snapshot/send', () => {
  it('crc32c as the kernel computes it', () => {
    // RFC 3720 B.4 gives the inverted form: 32 zero bytes are aa 36 91 8a, "123456789" is e3069283.
    expect(~crc32c(0xffffffff, Buffer.alloc(32)) >>> 0).to.equal(0x8a9136aa);
    expect(~crc32c(0xffffffff, Buffer.from('123456789')) >>> 0).to.equal(0xe3069283);
  });

  it('takes a stream in pieces of any size', () => {
    const bytes = stream(command(CHMOD, [PATH, 'a/b']), command(MKDIR, [PATH, 'c']));
    for (const piece of [1, 2, 3, 7, 64, 1000]) expect(suspects(bytes, piece)).to.deep.equal(['/a/b', '/c']);
  });

  it('follows a directory through a name of its own to the place it came from', () => {
    const bytes = stream(
      command(RENAME, [PATH, 'x'], [PATH_TO, 'o300-7-0']),
      command(CHMOD, [PATH, 'o300-7-0/in']),
      command(MKDIR, [PATH, 'x']),
      command(RENAME, [PATH, 'o300-7-0'], [PATH_TO, 'x/moved']),
    );
    expect(suspects(bytes)).to.deep.equal(['/o300-7-0', '/x', '/x/in', '/x/moved', '/x/moved/in']);
  });

  const bad: [string, () => Buffer][] = [
    ['a wrong magic', () => Buffer.from('x'.repeat(40))],
    ['a later version', () => Buffer.concat([header(3), command(END)])],
    ['a full stream', () => Buffer.concat([header(1), command(1), command(END)])],
    ['an unknown command', () => stream(command(99, [PATH, 'a']))],
    ['a missing path', () => stream(command(CHMOD))],
    ['a name that is gone', () => stream(command(RMDIR, [PATH, 'a']), command(CHMOD, [PATH, 'a/b']))],
    ['a name inside what was just made', () => stream(command(MKDIR, [PATH, 'a']), command(CHMOD, [PATH, 'a/b']))],
    ['a missing end', () => Buffer.concat([header(1), command(SNAPSHOT)])],
    ['commands after the end', () => Buffer.concat([stream(), command(CHMOD, [PATH, 'a'])])],
    ['a cut stream', () => stream(command(CHMOD, [PATH, 'a'])).subarray(0, -3)],
    ['an endless command', () => Buffer.concat([header(1), u32(0xffffffff), Buffer.alloc(6)])],
  ];
  for (const [title, bytes] of bad)
    it(`refuses ${title}`, () => expect(() => suspects(bytes())).to.throw(SendSurprise));

  it('refuses every flipped bit of a command', () => {
    const bytes = stream(command(CHMOD, [PATH, 'a/b']));
    for (let bit = 17 * 8; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => suspects(flipped), `bit ${bit}`).to.throw(SendSurprise);
    }
  });
});
