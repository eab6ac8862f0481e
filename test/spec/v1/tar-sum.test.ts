import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { LayerFormatError } from '../../../lib/errors.js';
import { TarSum } from '../../../lib/spec/index.js';
import { padded, paxRecord, tarHeader, writeTar, type TarEntry } from '../../helpers/tar-writer.js';

const EXTRA = Buffer.from('{}');

function sums(tar: Buffer, pieces = tar.length || 1, extra = EXTRA): Readonly<Record<'v0' | 'v1', string>> {
  const sum = new TarSum();
  for (let at = 0; at < tar.length; at += pieces) sum.update(tar.subarray(at, at + pieces));
  return sum.end(extra);
}

/** What the specification says of the given fields, written out. */
function written(entries: readonly string[]): string {
  const hex = entries.map((text) => createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')).sort();
  return createHash('sha256').update(EXTRA).update(hex.join('')).digest('hex');
}

describe('spec/v1/TarSum', () => {
  const hello: TarEntry = { path: 'f', content: 'hello', mtimeNs: 1_000_000_000_000n };

  it('has the known sums of an empty tar and of one file', () => {
    const empty = 'tarsum+sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';
    expect(sums(Buffer.alloc(1024)).v0).to.equal(empty);
    expect(sums(Buffer.alloc(0)).v0).to.equal(empty);
    const { v0, v1 } = sums(writeTar([hello]));
    expect(v0).to.equal('tarsum+sha256:9585df5598707555db7ab9f526b35b1f8ad3883f0ab4a67a2a8db20b2804209d');
    expect(v1).to.equal('tarsum.v1+sha256:96c5768b8ee479e52f7c5dcee3e801819e1b36f7612e09678b273b2ae6c86f9c');
  });

  it('is the same however the tar comes in pieces, and whatever the order of its members', () => {
    const entries: TarEntry[] = [
      { path: 'dir', type: 'dir' },
      { path: 'dir/long'.padEnd(150, 'x'), content: Buffer.alloc(1500, 'y') },
      { path: 'link', type: 'link', target: 'f' },
      hello,
    ];
    const tar = writeTar(entries);
    for (const pieces of [1, 7, 512, 1000]) expect(sums(tar, pieces), String(pieces)).to.deep.equal(sums(tar));
    expect(sums(writeTar(entries.toReversed()))).to.deep.equal(sums(tar));
    expect(sums(writeTar(entries.slice(1))).v0).to.not.equal(sums(tar).v0);
    expect(sums(tar, 512, Buffer.from('{"id":1}')).v0).to.not.equal(sums(tar).v0);
  });

  it('keeps the order of two members of one path', () => {
    const twice = (a: string, b: string): Buffer =>
      writeTar([a, b].map((content): TarEntry => ({ path: 'f', content })));
    expect(sums(twice('1', '2')).v0).to.not.equal(sums(twice('2', '1')).v0);
    // With others between them no order may be right: one of the two is so.
    const doubtful = [twice('1', '2'), twice('2', '1'), writeTar([hello])].map((tar) => {
      const sum = new TarSum();
      sum.update(tar);
      sum.end(EXTRA);
      return sum.isDoubtful('v0');
    });
    expect(doubtful.slice(0, 2).sort()).to.deep.equal([false, true]);
    expect(doubtful[2]).to.equal(false);
  });

  it('reads PAX and GNU extensions, attributes in v1 only, sorted', () => {
    const long = `d/${'n'.repeat(120)}`;
    const xattrs = { 'user.b': Buffer.from('2'), 'user.a': Buffer.from([0xff]) };
    const tar = writeTar([{ path: long, xattrs, uid: 3_000_000, mtimeNs: 1_000_500_000_000n, content: 'x' }]);
    const head = `name${long}mode420uid3000000gid0size1`;
    const tail = 'typeflag0linknameunamegnamedevmajor0devminor0';
    expect(sums(tar).v0).to.equal(`tarsum+sha256:${written([`${head}mtime1000${tail}x`])}`);
    expect(sums(tar).v1).to.equal(`tarsum.v1+sha256:${written([`${head}${tail}user.a\xffuser.b2x`])}`);

    const name = Buffer.from(`${long}\0`);
    const gnu = Buffer.concat([
      tarHeader({ path: '././@LongLink', flag: 'L', mode: 0, size: name.length }),
      padded(name),
      tarHeader({ path: long, flag: '5', mode: 0o755, size: 0, seconds: 5 }),
      Buffer.alloc(1024),
    ]);
    expect(sums(gnu).v0).to.equal(
      `tarsum+sha256:${written([`name${long}mode493uid0gid0size0mtime5typeflag5linknameunamegnamedevmajor0devminor0`])}`,
    );
  });

  it('ends with an error on what would fill the memory: extensions without a member, members without end', () => {
    const sum = new TarSum();
    const record = (n: number): Buffer => paxRecord(`key${n}`, Buffer.alloc(100_000));
    const header = (n: number): Buffer =>
      Buffer.concat([tarHeader({ path: 'p', flag: 'x', mode: 0, size: record(n).length }), padded(record(n))]);
    expect(() => {
      for (let n = 10; n < 30; n++) sum.update(header(n));
    }).to.throw(LayerFormatError, /oversized extended header/);

    const name = Buffer.alloc(1_000_000, 'n');
    const member = Buffer.concat([
      tarHeader({ path: '././@LongLink', flag: 'L', mode: 0, size: name.length }),
      padded(name),
      tarHeader({ path: 'f', flag: '0', mode: 0o644, size: 0 }),
    ]);
    const named = new TarSum();
    let members = 0;
    expect(() => {
      for (; members < 100; members++) named.update(member);
    }).to.throw(LayerFormatError, /too many members/);
    expect(members).to.equal(67);
  });

  it('ends with an error on what is no tar, on a truncated one and on a sparse file', () => {
    const tar = writeTar([hello]);
    expect(() => sums(tar.subarray(0, 600))).to.throw(LayerFormatError, /truncated/);
    expect(() => sums(Buffer.alloc(1024, 'x'))).to.throw(LayerFormatError, /not a tar/);
    const record = paxRecord('GNU.sparse.major', Buffer.from('1'));
    const sparse = Buffer.concat([
      tarHeader({ path: 'p', flag: 'x', mode: 0, size: record.length }),
      padded(record),
      tarHeader({ path: 'f', flag: '0', mode: 0o644, size: 0 }),
      Buffer.alloc(1024),
    ]);
    expect(() => sums(sparse)).to.throw(LayerFormatError, /sparse/);
  });
});
