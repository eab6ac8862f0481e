import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  createLayerApplier,
  type AppliedLayer,
  type LayerApplier,
  type LayerApplierOptions,
} from '../../lib/layer/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { GrowingFile } from '../../lib/util/index.js';
import { useLayerSandbox, type LayerSandbox } from '../helpers/layer-sandbox.js';
import { randomSource } from '../helpers/random-source.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { writeTar } from '../helpers/tar-writer.js';
import { zstdCompress } from '../helpers/zstd.js';

const random = randomSource();
const noise = Buffer.from(Array.from({ length: 4 << 20 }, () => random.below(256)));
/** Larger than all buffers between the threads together. */
const TAR = writeTar([
  { path: 'first', content: 'first' },
  { path: 'noise', content: noise },
  { path: 'more', content: Buffer.concat([noise.subarray(1000), noise.subarray(0, 777)]) },
  { path: 'last', content: 'last' },
]);
const SMALL = writeTar([{ path: 'small', content: 'small' }]);
const BLOBS = { gzip: gzipSync(TAR, { level: 1 }), zstd: zstdCompress(TAR), none: TAR };

const threads = (): number => readdirSync('/proc/self/task').length;

/** A layer whose blob is still being written: bytes go into the file when the test says so. */
class Download {
  readonly growing = new GrowingFile();
  readonly controller = new AbortController();
  readonly #writer: number;
  readonly #reader: number;
  #written = 0;

  constructor(sandbox: LayerSandbox) {
    const file = join(sandbox.base, 'blobs/download');
    writeFileSync(file, '');
    this.#writer = openSync(file, 'r+');
    this.#reader = openSync(file, 'r');
    this.#root = sandbox.root;
  }
  readonly #root: string;

  /** The unpacking; closes the file when it has settled. */
  apply(
    applier: ReturnType<typeof createLayerApplier>,
    { onProgress, size = TAR.length }: { onProgress?: (bytes: number) => void; size?: number } = {},
  ): Promise<AppliedLayer> {
    const { growing } = this;
    const { signal } = this.controller;
    const input = { fd: this.#reader, growing, size, root: this.#root, signal, ...(onProgress && { onProgress }) };
    return applier.apply(input).finally(() => {
      closeSync(this.#writer);
      closeSync(this.#reader);
    });
  }

  write(bytes: Uint8Array): void {
    this.#written += writeSync(this.#writer, bytes, 0, bytes.length, this.#written);
    this.growing.advance(this.#written);
  }
}

for (const inflateEngine of [
  'isal',
  'zlib-sync',
  'node',
] as const satisfies readonly LayerApplierOptions['inflateEngine'][])
  describe(`a blob that is still growing, inflated by ${inflateEngine} (IMGTOOL_TEST_SEED=${random.seed})`, () => {
    const use = useLayerSandbox({ applier: () => createLayerApplier({ inflateEngine, threadsOnly: true }) });

    it('bytes one by one, then in pieces of any length, the writer slower than the reader', async () => {
      const download = new Download(use.sandbox);
      const blob = BLOBS.gzip;
      const applied = download.apply(use.applier);
      for (let at = 0; at < blob.length;) {
        const length = at < 40 ? 1 : 1 + random.below(300_000);
        download.write(blob.subarray(at, at + length));
        at += length;
        await delay(1);
      }
      download.growing.finish();
      const { diffId, size } = await applied;
      expect(diffId).to.equal(digestOf(TAR));
      expect(size).to.equal(TAR.length);
      expect(use.sandbox.tree()).to.deep.equal([
        'first = first',
        'last = last',
        `more = ${noise.length - 223} bytes`,
        `noise = ${noise.length} bytes`,
      ]);
    });

    it('the end comes late: what is there is unpacked meanwhile', async () => {
      const download = new Download(use.sandbox);
      const applied = download.apply(use.applier);
      download.write(BLOBS.gzip);
      for (let waited = 0; !readdirSync(use.sandbox.root).includes('more'); waited += 5) {
        expect(waited).to.be.lessThan(10_000);
        await delay(5);
      }
      download.growing.finish();
      expect((await applied).diffId).to.equal(digestOf(TAR));
    });

    it('is truncated: an error, no hang', async () => {
      const download = new Download(use.sandbox);
      const applied = rejection(download.apply(use.applier));
      download.write(BLOBS.gzip.subarray(0, 3_000_000));
      await delay(5);
      download.growing.finish();
      expect((await applied).name).to.equal('LayerFormatError');
    });
  });

describe('an applier', () => {
  const use = useLayerSandbox();
  const works = async (): Promise<void> => {
    const { diffId, entries } = await use.sandbox.applyBlob(SMALL);
    expect([diffId, entries]).to.deep.equal([digestOf(SMALL), 1]);
  };

  for (const [compression, blob] of Object.entries(BLOBS)) {
    for (const [moment, bytes] of [
      ['before the first byte', 0],
      ['in the middle', blob.length / 2],
      ['at the last byte', blob.length],
    ] as const) {
      it(`${compression}, given up by its writer ${moment}: SourceFailedError, and usable again`, async () => {
        const download = new Download(use.sandbox);
        const failed = rejection(download.apply(use.applier));
        download.write(blob.subarray(0, bytes));
        await delay(random.below(15));
        download.growing.fail();
        expect((await failed).name).to.equal('SourceFailedError');
        await works();
      });

      it(`${compression}, aborted ${moment}: AbortError with its reason, and usable again`, async () => {
        const download = new Download(use.sandbox);
        const failed = rejection(download.apply(use.applier));
        download.write(blob.subarray(0, bytes));
        await delay(random.below(15));
        download.controller.abort();
        expect((await failed).name).to.equal('AbortError');
        await works();
      });
    }
  }

  it('aborted before it begins: nothing is touched', async () => {
    const download = new Download(use.sandbox);
    download.controller.abort(new Error('my reason'));
    expect((await rejection(download.apply(use.applier))).message).to.equal('my reason');
    expect(use.sandbox.tree()).to.be.empty;
    await works();
  });

  it('aborted at random moments, many times', async () => {
    for (let round = 0; round < 25; round += 1) {
      const controller = new AbortController();
      const applied = use.sandbox.applyBlob(BLOBS.gzip, { signal: controller.signal });
      setTimeout(() => controller.abort(), random.below(40));
      await applied.catch((error: Error) => expect(error.name).to.equal('AbortError'));
    }
    await works();
  });

  it('is usable after each kind of failure', async () => {
    const broken = [
      BLOBS.gzip.subarray(0, 1_000_000),
      BLOBS.zstd.subarray(0, 1_000_000),
      TAR.subarray(0, 1_000_000),
      Buffer.from('no layer at all'),
      writeTar([{ path: '../escape' }]),
      gzipSync(
        writeTar([
          { path: 'a', type: 'hardlink', target: 'nothing' },
          { path: 'b', content: noise },
        ]),
      ),
    ];
    for (const blob of broken) {
      await rejection(use.sandbox.applyBlob(blob));
      await works();
    }
    const error = await rejection(use.sandbox.applyBlob(BLOBS.gzip, { root: join(use.sandbox.root, 'missing') }));
    expect(error.name).to.equal('SyscallError');
    await works();
  });

  it('a blob that is shorter on disk than was announced: an error', async () => {
    const error = await rejection(use.sandbox.applyBlob(TAR, { growing: GrowingFile.complete(TAR.length + 1) }));
    expect(error.name).to.equal('LayerFormatError');
  });

  it('unpacks in the order asked for, each on its own root, though asked at once', async () => {
    const roots = Array.from({ length: 6 }, (_, index) => join(use.sandbox.root, `r${index}`));
    const asked = roots.map(async (root, index) => {
      mkdirSync(root);
      const tar = writeTar([{ path: `f${index}`, content: noise.subarray(0, 100_000 * index) }]);
      const file = join(use.sandbox.base, `blobs/${index}`);
      writeFileSync(file, tar);
      const fd = openSync(file, 'r');
      const growing = GrowingFile.complete(tar.length);
      const signal = new AbortController().signal;
      const { diffId } = await use.applier
        .apply({ fd, growing, size: tar.length, root, signal })
        .finally(() => closeSync(fd));
      expect(diffId).to.equal(digestOf(tar));
    });
    await Promise.all(asked);
    for (const [index, root] of roots.entries()) expect(readdirSync(root)).to.deep.equal([`f${index}`]);
  });

  it('tells its progress, ascending, and at the end all of it', async () => {
    const download = new Download(use.sandbox);
    const told: number[] = [];
    const applied = download.apply(use.applier, { onProgress: (bytes) => told.push(bytes) });
    for (let at = 0; at < TAR.length; at += 1_500_000) {
      download.write(TAR.subarray(at, at + 1_500_000));
      await delay(60);
    }
    download.growing.finish();
    await applied;
    expect(told.length).to.be.greaterThan(2);
    expect(told).to.deep.equal([...told].sort((a, b) => a - b));
    expect(told.at(-1)).to.equal(TAR.length);
  });
});

/** Source of a function: an applier whose threads have got a layer that fails, there being no such directory. */
const THREADS_OF = `import { GrowingFile } from ${JSON.stringify(new URL('../../lib/util/index.js', import.meta.url).href)};
  function threadsOf(createLayerApplier) {
    const applier = createLayerApplier({ threadsOnly: true });
    const { signal } = new AbortController();
    applier.apply({ fd: 0, growing: GrowingFile.complete(0), size: 0, root: '/nowhere', signal }).catch(() => undefined);
    return applier;
  }`;

describe('a small layer', () => {
  const use = useLayerSandbox({ applier: () => createLayerApplier() });
  const small = writeTar([{ path: 'f', content: 'small' }]);

  it('is unpacked without threads, once all of it has arrived', async () => {
    const before = threads();
    const download = new Download(use.sandbox);
    const applied = download.apply(use.applier, { size: small.length });
    download.write(small.subarray(0, 600));
    await delay(10);
    expect(readdirSync(use.sandbox.root)).to.deep.equal([]);
    download.write(small.subarray(600));
    download.growing.finish();
    expect((await applied).diffId).to.equal(digestOf(small));
    expect(threads()).to.equal(before);
  });

  for (const [name, layer] of Object.entries({
    'has a whiteout': writeTar([{ path: '.wh.f' }, { path: 'g' }]),
    'is large when it is inflated': gzipSync(writeTar([{ path: 'g', content: Buffer.alloc(3 << 20) }])),
  }))
    it(`is unpacked by threads if it ${name}`, async () => {
      const applier = createLayerApplier();
      const before = threads();
      const download = new Download(use.sandbox);
      download.write(layer);
      download.growing.finish();
      await use.sandbox.apply([{ path: 'f' }]);
      await download.apply(applier, { size: layer.length });
      expect(readdirSync(use.sandbox.root)).to.include('g');
      expect(threads()).to.be.greaterThan(before);
      await applier.close();
    });

  it('that its writer gives up is a SourceFailedError, and the applier works on', async () => {
    const download = new Download(use.sandbox);
    const failed = rejection(download.apply(use.applier, { size: small.length }));
    download.write(small.subarray(0, 600));
    download.growing.fail();
    expect((await failed).name).to.equal('SourceFailedError');
    await use.sandbox.applyBlob(small);
  });

  for (const [name, end] of Object.entries({
    'an abort': (download: Download) => Promise.resolve(download.controller.abort()),
    close: (_: Download, applier: LayerApplier) => applier.close(),
  }))
    it(`is not waited for after ${name}`, async () => {
      const applier = createLayerApplier();
      const download = new Download(use.sandbox);
      const failed = rejection(download.apply(applier, { size: small.length }));
      await delay(10);
      await end(download, applier);
      expect((await failed).name).to.equal('AbortError');
      await applier.close();
    });
});

describe('the threads of an applier', () => {
  const use = useLayerSandbox();

  it('are gone after close, descriptors too', async () => {
    const before = threads();
    for (let round = 0; round < 3; round += 1) {
      const applier = createLayerApplier();
      const download = new Download(use.sandbox);
      download.write(BLOBS.gzip);
      download.growing.finish();
      await download.apply(applier);
      await applier.close();
    }
    expect(threads()).to.equal(before);
  });

  it('close in the middle of a layer ends it, those that wait and those that come later', async () => {
    const applier = createLayerApplier();
    const [first, second] = [new Download(use.sandbox), new Download(use.sandbox)];
    const ended = [rejection(first.apply(applier)), rejection(second.apply(applier))];
    first.write(BLOBS.gzip.subarray(0, 2_000_000));
    await delay(30);
    await applier.close();
    expect((await ended[0]!).name).to.equal('AbortError');
    await ended[1];
    await rejection(new Download(use.sandbox).apply(applier));
    await applier.close();
  });

  it('may be ended at any moment while they start', async () => {
    const room = new URL('../../lib/layer/index.js', import.meta.url).href;
    const program = `${THREADS_OF}
      const { createLayerApplier } = await import(${JSON.stringify(room)});
      for (let ms = 0; ms < 60; ms += 10) {
        const applier = threadsOf(createLayerApplier);
        await new Promise((resolve) => setTimeout(resolve, ms));
        await applier.close();
      }
      threadsOf(createLayerApplier);
      console.log('well');`;
    expect(await run(process.execPath, ['--input-type=module', '-e', program])).to.equal('well\n');
  });

  it('do not keep an idle process alive', async () => {
    const room = new URL('../../lib/layer/index.js', import.meta.url).href;
    const program = `${THREADS_OF}
      threadsOf((await import(${JSON.stringify(room)})).createLayerApplier);`;
    await Promise.race([
      run(process.execPath, ['--input-type=module', '-e', program]),
      delay(120_000, undefined, { ref: false }).then(() => expect.fail('it still runs')),
    ]);
  });
});
