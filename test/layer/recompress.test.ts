import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { beginsTar, recompressLayer } from '../../lib/layer/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { zstdFrame } from '../../lib/sys/index.js';
import { writeTar } from '../helpers/tar-writer.js';

describe('recompressLayer', () => {
  let base: string;
  before(() => (base = mkdtempSync(join(tmpdir(), 'imgtool-recompress-'))));
  after(() => rmSync(base, { recursive: true }));

  for (const [name, compress] of [
    ['gzip', (tar: Buffer) => gzipSync(tar, { level: 1 })],
    ['zstd', (tar: Buffer) => zstdFrame(tar, 1)],
  ] as const)
    it(`recompresses several ${name} layers at once, as two repositories of a mirror do`, async () => {
      const words = randomBytes(65536).toString('base64');
      const tars = [1, 2, 3].map((times) => writeTar([{ path: 'a', content: words.slice(times).repeat(40) }]));
      const paths = tars.map((tar, i) => {
        const path = join(base, `${name}-${i}`);
        writeFileSync(path, compress(tar));
        return path;
      });
      const results = paths.map(async (path) => {
        const output = new PassThrough().resume();
        return (await recompressLayer({ path, compression: 'gzip', output, signal: AbortSignal.timeout(60_000) }))
          .diffId;
      });
      const fd = openSync(paths[0]!, 'r');
      try {
        expect(await beginsTar(fd, compress(tars[0]!).length)).to.equal(true);
      } finally {
        closeSync(fd);
      }
      expect(await Promise.all(results)).to.deep.equal(tars.map((tar) => digestOf(tar)));
    });
});
