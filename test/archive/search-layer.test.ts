import { gzipSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { searchLayer, type LayerAnswer } from '../../lib/archive/index.js';
import { DigestMismatchError, LayerFormatError, UsageError } from '../../lib/errors.js';
import { digestOf } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';

const { signal } = new AbortController();

function search(
  bytes: Buffer,
  path: string,
  { maxBytes = 100, digest = digestOf(bytes) } = {},
): Promise<LayerAnswer | undefined> {
  const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes.length };
  const layer = { descriptor, open: () => Promise.resolve(Readable.from([bytes])) };
  return searchLayer({ layer, parts: path.split('/'), maxBytes, signal });
}

describe('archive/search-layer', () => {
  const file = { kind: 'file', bytes: Buffer.from('x') };
  const cases: readonly [title: string, entries: readonly TarEntry[], answer: unknown][] = [
    ['the file', [{ path: 'a/b', content: 'x' }], file],
    ['the file of a name with ./', [{ path: './a/b', content: 'x' }], file],
    [
      'the last of two',
      [
        { path: 'a/b', content: 'y' },
        { path: 'a/b', content: 'x' },
      ],
      file,
    ],
    ['nothing', [{ path: 'a/c', content: 'x' }], undefined],
    ['gone by a whiteout', [{ path: 'a/.wh.b', content: '' }], { kind: 'gone' }],
    ['gone by a whiteout of its directory', [{ path: '.wh.a', content: '' }], { kind: 'gone' }],
    ['gone by an opaque directory', [{ path: 'a/.wh..wh..opq', content: '' }], { kind: 'gone' }],
    [
      'the file beside an opaque marker',
      [
        { path: 'a/.wh..wh..opq', content: '' },
        { path: 'a/b', content: 'x' },
      ],
      file,
    ],
    ['nothing of a whiteout of another name', [{ path: 'a/.wh.bb', content: '' }], undefined],
    ['gone below a file', [{ path: 'a', content: 'x' }], { kind: 'gone' }],
    ['a relative link', [{ path: 'a/b', type: 'link', target: '../c' }], { kind: 'link', path: 'a/../c', here: false }],
    [
      'a link of its directory',
      [{ path: 'a', type: 'link', target: '/usr/a' }],
      { kind: 'link', path: '/usr/a/b', here: false },
    ],
    [
      'a hard link',
      [
        { path: 'c', content: 'x' },
        { path: 'a/b', type: 'hardlink', target: './c' },
      ],
      { kind: 'link', path: 'c', here: true },
    ],
    ['a directory', [{ path: 'a/b', type: 'dir' }], { kind: 'other', type: 'directory' }],
  ];
  for (const [title, entries, answer] of cases) {
    it(`finds ${title}`, async () => {
      expect(await search(writeTar(entries), 'a/b')).to.deep.equal(answer);
      expect(await search(gzipSync(writeTar(entries)), 'a/b')).to.deep.equal(answer);
    });
  }

  const tar = writeTar([{ path: 'a', content: 'x'.repeat(101) }]);
  it('refuses a file over the limit, a wrong digest and what is no tar', async () => {
    expect(await rejection(search(tar, 'a'))).to.be.instanceOf(UsageError);
    const digest = digestOf(Buffer.from('other'));
    expect(await rejection(search(tar, 'a', { maxBytes: 101, digest }))).to.be.instanceOf(DigestMismatchError);
    expect(await rejection(search(Buffer.alloc(2000, 'no tar'), 'a'))).to.be.instanceOf(LayerFormatError);
    expect(await rejection(search(gzipSync(tar).subarray(0, 60), 'a', { maxBytes: 101 }))).to.be.an('error');
  });
});
