import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { createLayerIndexer, isLayerIndex } from '../../lib/layer/index.js';
import { LayerIndexes } from '../../lib/operations/build-remote/layer-indexes.js';
import { digestOf, MEDIA_TYPE, type DiffId } from '../../lib/spec/index.js';
import { fillWith, onTmpfs } from '../helpers/full-disk.js';
import { writeTar } from '../helpers/tar-writer.js';

describe('operations/build-remote: indexes in the cache of the user', () => {
  const tar = Buffer.from(writeTar([{ path: 'file', content: 'content' }]));
  const digest = digestOf(tar);
  const { signal } = new AbortController();
  let base: string;
  let fetched: number;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'imgtool-indexes-'));
    fetched = 0;
  });
  afterEach(() => rmSync(base, { recursive: true }));

  /** Indexes the layer as one build does. */
  async function index(cacheDirectory: string): Promise<void> {
    const indexes = new LayerIndexes({
      createIndexer: () => Promise.resolve(createLayerIndexer()),
      isLayerIndex: (index) => Promise.resolve(isLayerIndex(index)),
      progress: { event: () => undefined, note: () => undefined },
      temporaryDirectory: base,
      cacheDirectory,
    });
    const open = (): Promise<Readable> => {
      fetched += 1;
      return Promise.resolve(Readable.from([tar]));
    };
    const blob = { descriptor: { mediaType: MEDIA_TYPE.ociLayer, digest, size: tar.length }, open };
    try {
      await indexes.index({ blob, diffId: digest as unknown as DiffId }, signal);
    } finally {
      await indexes.close();
    }
  }

  it('one that is kept saves the next build the layer', async () => {
    await index(join(base, 'cache'));
    await index(join(base, 'cache'));
    expect(fetched).to.equal(1);
  });

  for (const [name, damage] of Object.entries({
    'is cut': (path: string) => truncateSync(path, 10),
    'another version wrote': (path: string) =>
      writeFileSync(path, readFileSync(path, 'latin1').replace('"version":1', '"version":9'), 'latin1'),
  }))
    it(`one that ${name} is made again and replaced`, async () => {
      const cache = join(base, 'cache');
      await index(cache);
      const [file] = readdirSync(join(cache, 'layers'));
      damage(join(cache, 'layers', file!));
      await index(cache);
      await index(cache);
      expect(fetched).to.equal(2);
    });

  it('a full disk costs the next build time only, and nothing is left there', async () => {
    const cache = join(base, 'cache');
    await onTmpfs(cache, '64k', async () => {
      mkdirSync(join(cache, 'layers'));
      fillWith(join(cache, 'filler'));
      await index(cache);
      expect(readdirSync(join(cache, 'layers'))).to.deep.equal([]);
    });
  });

  it('so does a name that is taken by something else', async () => {
    const layers = join(base, 'cache/layers');
    await index(join(base, 'cache'));
    const [name] = readdirSync(layers);
    rmSync(join(layers, name!));
    mkdirSync(join(layers, name!));
    writeFileSync(join(layers, name!, 'x'), '');
    await index(join(base, 'cache'));
    expect(readdirSync(layers)).to.deep.equal([name]);
    expect(fetched).to.equal(2);
  });
});
