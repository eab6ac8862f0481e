import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { createLayerApplier, type AppliedLayer, type LayerApplierOptions } from '../../lib/layer/index.js';
import { gzipMember, type GzipMemberOptions } from '../helpers/gzip-member.js';
import { useLayerSandbox } from '../helpers/layer-sandbox.js';
import { randomSource } from '../helpers/random-source.js';
import { rejection } from '../helpers/rejection.js';
import { writeTar } from '../helpers/tar-writer.js';
import { zstdCompress } from '../helpers/zstd.js';

const random = randomSource();
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.below(256)));
const TAR = writeTar([
  { path: 'noise', content: noise(70_000) },
  { path: 'text', content: 'the same line again\n'.repeat(12_000) },
  { path: 'zeros', content: Buffer.alloc(300_000) },
  { path: 'd', type: 'dir' },
  { path: 'd/small', content: 'x' },
]);
const DIFF_ID = `sha256:${createHash('sha256').update(TAR).digest('hex')}`;
const concat = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);
const nothing = Buffer.alloc(0);

/** `TAR` in pieces that end at `places`, each a member of its own. */
function members(places: readonly number[], options: (index: number) => GzipMemberOptions = () => ({})): Buffer {
  const ends = [...places, TAR.length];
  return concat(...ends.map((end, index) => gzipMember(TAR.subarray(ends[index - 1] ?? 0, end), options(index))));
}

const every = (step: number): number[] =>
  Array.from({ length: Math.floor(TAR.length / step) }, (_, index) => (index + 1) * step);

/** Blobs that all hold `TAR`. */
const GZIP: Readonly<Record<string, () => Buffer>> = {
  'one member': () => gzipMember(TAR),
  'stored blocks': () => gzipMember(TAR, { level: 0 }),
  'the best compression': () => gzipMember(TAR, { level: 9 }),
  'the fixed code': () => gzipMember(TAR, { fixedCode: true }),
  'a header with everything': () =>
    gzipMember(TAR, { extra: noise(60_000), name: 'layer.tar', comment: 'a comment', headerCrc: true }),
  'two members': () => members([700]),
  'empty members everywhere': () =>
    concat(gzipMember(nothing), gzipMember(nothing), members([512, 512, 512, 90_000, 90_000]), gzipMember(nothing)),
  'a member and the same again': () => {
    const half = Buffer.alloc(TAR.length - 1024);
    TAR.copy(half);
    return concat(gzipMember(half), gzipMember(TAR.subarray(-1024, -512)), gzipMember(TAR.subarray(-512)));
  },
  'zeros after it': () => concat(gzipMember(TAR), Buffer.alloc(100_000)),
  'one zero after it': () => concat(gzipMember(TAR), Buffer.alloc(1)),
  'empty members, then zeros': () => concat(gzipMember(TAR), gzipMember(nothing), Buffer.alloc(4096)),
};

/** The same in very many members: last, since zlib-sync leaves them to node:zlib after some. */
const MANY_MEMBERS: Readonly<Record<string, () => Buffer>> = {
  'members of 7,777 bytes': () => members(every(7777)),
  'members of 1,000 bytes, stored, with names': () => members(every(1000), () => ({ level: 0, name: 'n' })),
  'members as pigz and bgzip make them, an empty one at the end': () =>
    concat(
      members(every(65_280), () => ({ extra: noise(6) })),
      gzipMember(nothing),
    ),
  '2,000 empty members': () => concat(gzipMember(TAR), ...Array<Buffer>(2000).fill(gzipMember(nothing))),
};

const GARBAGE: Readonly<Record<string, Buffer>> = {
  text: Buffer.from('garbage'),
  'one byte': Buffer.from('g'),
  'zeros, then text': concat(Buffer.alloc(300), Buffer.from('garbage')),
  'the first byte of a member': Buffer.from([0x1f]),
  noise: concat(Buffer.from([0]), noise(400_000)),
};

const BROKEN: Readonly<Record<string, () => Buffer>> = {
  'a wrong checksum': () => gzipMember(TAR, { crc: 1 }),
  'a wrong length': () => gzipMember(TAR, { size: TAR.length + 1 }),
  'a wrong checksum in the second member': () => members([5000], (index) => (index === 1 ? { crc: 1 } : {})),
  'another method': () => gzipMember(TAR, { method: 7 }),
  'reserved flags': () => gzipMember(TAR, { flags: 0x20 }),
  'a wrong header checksum': () => gzipMember(TAR, { headerCrc: 1 }),
  'a name without end': () => gzipMember(TAR, { name: 'n'.repeat(200_000) }),
  'the start of another member': () => concat(gzipMember(TAR), gzipMember(TAR).subarray(0, 5)),
  'a second member without data': () => concat(gzipMember(TAR), gzipMember(TAR).subarray(0, 10)),
  'a member without its last bytes': () => concat(members([5000]).subarray(0, -3)),
  'deflate that reaches before its start': () =>
    concat(Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), Buffer.from('4b040200', 'hex'), Buffer.alloc(600)),
};

const ENGINES = ['isal', 'zlib-sync', 'node'] as const satisfies readonly LayerApplierOptions['inflateEngine'][];

function expectTar(applied: AppliedLayer): void {
  expect(applied.diffId).to.equal(DIFF_ID);
  expect(applied.size).to.equal(TAR.length);
  expect(applied.entries).to.equal(5);
}

for (const engine of ENGINES)
  describe(`gzip by ${engine} (IMGTOOL_TEST_SEED=${random.seed})`, () => {
    const use = useLayerSandbox({
      applier: () => createLayerApplier({ inflateEngine: engine }),
    });

    for (const [name, blob] of Object.entries(GZIP))
      it(name, async () => {
        const applied = await use.sandbox.applyBlob(blob());
        expectTar(applied);
        expect(applied.compression).to.equal('gzip');
        expect(applied.notes).to.be.empty;
      });

    for (const [name, garbage] of Object.entries(GARBAGE))
      it(`garbage after it, as gzip(1) ignores it: ${name}`, async () => {
        const applied = await use.sandbox.applyBlob(concat(gzipMember(TAR), garbage));
        expectTar(applied);
        expect(applied.notes.join()).to.include('garbage');
      });

    for (const [name, blob] of Object.entries(BROKEN))
      it(`refused: ${name}`, async () => {
        const error = await rejection(use.sandbox.applyBlob(blob()));
        expect(error.name, error.stack ?? '').to.equal('LayerFormatError');
      });

    it('truncated anywhere: refused', async () => {
      const blob = members([30_000, 100_000]);
      const lengths = [3, 9, 10, 11, blob.length - 1, blob.length - 4, blob.length - 8, blob.length - 9];
      for (let index = 0; index < 12; index += 1) lengths.push(2 + random.below(blob.length - 2));
      const starts = [gzipMember(TAR.subarray(0, 30_000)).length];
      starts.push(starts[0]! + gzipMember(TAR.subarray(30_000, 100_000)).length);
      for (const length of lengths) {
        const error = await rejection(use.sandbox.applyBlob(blob.subarray(0, length)));
        expect(error.name, `${length}: ${error.stack}`).to.equal('LayerFormatError');
      }
      // Without whole members the tar itself is truncated.
      for (const length of starts)
        expect((await rejection(use.sandbox.applyBlob(blob.subarray(0, length)))).message).to.include('truncated');
    });

    it('bits turned anywhere: refused', async () => {
      const blob = gzipMember(TAR);
      for (let index = 0; index < 20; index += 1) {
        const changed = Buffer.from(blob);
        // The time, system and flags for compression of the header mean nothing.
        const at = 10 + random.below(blob.length - 10);
        changed[at]! ^= 1 << random.below(8);
        const error = await rejection(use.sandbox.applyBlob(changed));
        expect(error.name, `byte ${at}: ${error.stack}`).to.equal('LayerFormatError');
      }
    });

    for (const [name, blob] of Object.entries(MANY_MEMBERS))
      it(name, async () => {
        const applied = await use.sandbox.applyBlob(blob());
        expectTar(applied);
        expect(applied.notes).to.be.empty;
      });

    it('members cut at random', async () => {
      for (let round = 0; round < 4; round += 1) {
        const places = Array.from({ length: random.below(40) }, () => random.below(TAR.length)).sort((a, b) => a - b);
        const options = (): GzipMemberOptions => ({ level: random.below(10), fixedCode: random.below(4) === 0 });
        expectTar(await use.sandbox.applyBlob(members(places, options)));
      }
    });
  });

describe('zstd', () => {
  const use = useLayerSandbox();
  const skippable = (length: number, kind = 0): Buffer => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(0x184d2a50 + kind, 0);
    head.writeUInt32LE(length, 4);
    return concat(head, Buffer.alloc(length, 's'));
  };
  const whole = zstdCompress(TAR);
  const split = (...places: readonly number[]): Buffer[] =>
    [...places, TAR.length].map((end, index, ends) => zstdCompress(TAR.subarray(ends[index - 1] ?? 0, end)));

  const ACCEPTED: Readonly<Record<string, () => Buffer>> = {
    'one frame': () => whole,
    'four frames': () => concat(...split(1, 100_000, 400_000)),
    'an empty frame at the end': () => concat(whole, zstdCompress(nothing)),
    'skippable frames before, between and after': () => {
      const [first, second] = split(70_000) as [Buffer, Buffer];
      return concat(skippable(0), skippable(300_000, 5), first, skippable(4, 15), second, skippable(100));
    },
  };
  for (const [name, blob] of Object.entries(ACCEPTED))
    it(name, async () => {
      const applied = await use.sandbox.applyBlob(blob());
      expectTar(applied);
      expect(applied.compression).to.equal('zstd');
    });

  it('a window of 128 MiB is taken, a larger one refused', async () => {
    expectTar(await use.sandbox.applyBlob(zstdCompress(TAR, ['--long=27', '--no-content-size'])));
    // --ultra --long=31 of a stream whose size is not told.
    const error = await rejection(use.sandbox.applyBlob(zstdCompress(TAR, ['--long=30', '--no-content-size'])));
    expect(error.name).to.equal('LayerFormatError');
  });

  const REFUSED: Readonly<Record<string, () => Buffer>> = {
    'a wrong checksum': () => {
      const blob = zstdCompress(TAR, ['--check']);
      blob[blob.length - 1]! ^= 1;
      return blob;
    },
    'a skippable frame alone': () => concat(skippable(10), skippable(10).subarray(0, 12)),
    'garbage after it': () => concat(whole, Buffer.from('garbage')),
    'half a magic number after it': () => concat(whole, whole.subarray(0, 2)),
  };
  for (const [name, blob] of Object.entries(REFUSED))
    it(`refused: ${name}`, async () => {
      const error = await rejection(use.sandbox.applyBlob(blob()));
      expect(error.name, error.stack ?? '').to.equal('LayerFormatError');
    });

  it('truncated anywhere: refused', async () => {
    const blob = concat(...split(100_000));
    for (let index = 0; index < 20; index += 1) {
      const length = 4 + random.below(blob.length - 4);
      const error = await rejection(use.sandbox.applyBlob(blob.subarray(0, length)));
      expect(error.name, `${length} (seed ${random.seed}): ${error.stack}`).to.equal('LayerFormatError');
    }
  });
});

describe('a layer that is not compressed', () => {
  const use = useLayerSandbox();
  it('is taken as it is', async () => {
    const applied = await use.sandbox.applyBlob(TAR);
    expectTar(applied);
    expect(applied.compression).to.equal('none');
  });
  it('of zeros only, or of no byte: nothing in it', async () => {
    expect((await use.sandbox.applyBlob(Buffer.alloc(1024))).entries).to.equal(0);
    expect((await use.sandbox.applyBlob(Buffer.alloc(10_240))).entries).to.equal(0);
    expect((await use.sandbox.applyBlob(nothing)).entries).to.equal(0);
    expect(use.sandbox.tree()).to.be.empty;
  });
  it('padded to tape records', async () => {
    const { size } = await use.sandbox.applyBlob(concat(TAR, Buffer.alloc(20 * 512)));
    expect(size).to.equal(TAR.length + 20 * 512);
  });
});
