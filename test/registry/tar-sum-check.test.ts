import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { TarSumCheck } from '../../lib/registry/v1/tar-sum-check.js';
import { writeTar } from '../helpers/tar-writer.js';

describe('registry v1: TarSumCheck', () => {
  const json = Buffer.from('{}');
  const tar = writeTar([{ path: 'a', content: randomBytes(4 << 20) }]);

  async function sumOf(pieces: readonly Buffer[]): Promise<string | undefined> {
    const check = new TarSumCheck('tarsum+', json);
    try {
      for (const piece of pieces) await check.write(piece);
      return await check.end();
    } finally {
      check.close();
    }
  }

  it('sums a layer of many pieces without a growing number of listeners', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): number => warnings.push(warning);
    process.on('warning', note);
    const gzip = gzipSync(tar);
    const pieces = Array.from({ length: Math.ceil(gzip.length / 65536) }, (_, at) =>
      gzip.subarray(at * 65536, (at + 1) * 65536),
    );
    try {
      expect(await sumOf(pieces)).to.equal(await sumOf([tar]));
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).to.deep.equal([]);
    } finally {
      process.off('warning', note);
    }
  });

  it('ends for a gzip layer with zeros after its end', async () => {
    const gzip = gzipSync(tar);
    const sum = await sumOf([tar]);
    expect(await sumOf([Buffer.concat([gzip, Buffer.alloc(512)])])).to.equal(sum);
    expect(await sumOf([gzip, Buffer.alloc(512), Buffer.alloc(70_000)])).to.equal(sum);
  });

  it('sums nothing for a damaged or unfinished gzip layer', async () => {
    const gzip = gzipSync(tar);
    expect(await sumOf([gzip.subarray(0, 1 << 20), Buffer.alloc(70_000), gzip.subarray(2 << 20)])).to.equal(undefined);
    expect(await sumOf([gzip.subarray(0, 1 << 20)])).to.equal(undefined);
  });
});
