import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { compressionOfBytes, type KnownCompression } from '../../lib/spec/index.js';
import { writeTar } from '../helpers/tar-writer.js';
import { zstdCompress } from '../helpers/zstd.js';

describe('spec/compressionOfBytes', () => {
  const cases: [name: string, head: Buffer, want: KnownCompression | undefined][] = [
    ['gzip', gzipSync('x'), 'gzip'],
    ['zstd', zstdCompress(Buffer.from('x')), 'zstd'],
    ['zstd that begins with a skippable frame', Buffer.from('5e2a4d1804000000', 'hex'), 'zstd'],
    ['bzip2', Buffer.from('BZh91AY&SY'), 'bzip2'],
    ['xz', Buffer.from('fd377a585a000004', 'hex'), 'xz'],
    ['lz4', Buffer.from('04224d186440', 'hex'), 'lz4'],
    ['a tar', writeTar([{ path: 'f', content: 'x' }]), undefined],
    ['a tar whose first name looks like bzip2', writeTar([{ path: 'BZhome', content: 'x' }]), undefined],
    ['what ends in the middle of a signature', Buffer.from('fd377a', 'hex'), undefined],
    ['nothing', Buffer.alloc(0), undefined],
  ];
  for (const [name, head, want] of cases) it(name, () => expect(compressionOfBytes(head)).to.equal(want));
});
