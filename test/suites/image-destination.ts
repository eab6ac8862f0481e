import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { DigestMismatchError, ImgtoolError, NotFoundError, SizeMismatchError } from '../../lib/errors.js';
import {
  digestOf,
  hostPlatform,
  MEDIA_TYPE,
  type Descriptor,
  type ImageDestination,
  type ImageSource,
  type RawManifest,
  type ReopenableBlob,
} from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { writeTar } from '../helpers/tar-writer.js';
import { imageManifest } from './image-source.js';

/** A place to copy to that nothing was put to yet. */
export interface DestinationUnderTest {
  readonly open: () => Promise<ImageDestination>;
  /** The tag that an image gets there. */
  readonly tag: string;
  /** Opens what can be read there; undefined: there is nothing. */
  readonly read: () => Promise<ImageSource | undefined>;
  /** Files that should not be there after all was closed. */
  readonly leftovers?: () => Promise<readonly string[]>;
}

/** How kinds differ within the contract. */
export interface DestinationTraits {
  /** When an image can be seen: as soon as its manifest is put, or after `commit`. */
  readonly visible: 'at once' | 'by commit';
  /** Who finds that bytes are wrong: `putBlob`, the registry that it sends them to, or `commit`, which sends them. */
  readonly verifies: 'put' | 'registry' | 'commit';
  /** False: `hasManifest` says of no manifest that it is there. */
  readonly tellsManifests: boolean;
  /** What an image without a tag can be read by; undefined: images need a tag. */
  readonly untagged: 'digest' | 'empty selector' | undefined;
  /** False: the medium has manifests of its own, which name the same layers. */
  readonly keepsManifests?: boolean;
}

interface TestImage {
  readonly manifest: RawManifest;
  readonly blobs: readonly (readonly [descriptor: Descriptor, bytes: Buffer])[];
}

const { signal } = new AbortController();
/** Neither the first nor the last byte of a gzip file below 16 MiB. */
const ONE = Buffer.from([1]);

/** The contract of ImageDestination; `create` makes a new place for each test. */
export function describeImageDestination(
  kind: string,
  traits: DestinationTraits,
  create: () => Promise<DestinationUnderTest>,
): void {
  describe(`${kind}, to copy to`, () => {
    let place: DestinationUnderTest;
    let destination: ImageDestination;
    let isOpen = false;
    beforeEach(async () => {
      place = await create();
      await open();
    });
    afterEach(async () => {
      if (isOpen) await close();
      expect((await place.leftovers?.()) ?? []).to.deep.equal([]);
    });

    const open = async (): Promise<void> => {
      destination = await place.open();
      isOpen = true;
    };
    const close = async (): Promise<void> => {
      isOpen = false;
      await destination.close();
      await destination.close();
    };
    const put = async ({ blobs }: TestImage): Promise<void> => {
      for (const [descriptor, bytes] of blobs) await destination.putBlob(blobOf(descriptor, bytes), { signal });
    };
    /** What can be read there; undefined: nothing. */
    const read = async (selector: Parameters<ImageSource['manifest']>[0]): Promise<RawManifest | undefined> => {
      const source = await place.read();
      try {
        return await source?.manifest(selector, { signal });
      } catch (error) {
        if (error instanceof NotFoundError) return undefined;
        throw error;
      } finally {
        await source?.close();
      }
    };
    const expectImage = async (image: TestImage, selector: Parameters<ImageSource['manifest']>[0]): Promise<void> => {
      const source = (await place.read())!;
      try {
        const raw = await source.manifest(selector, { signal });
        if (traits.keepsManifests !== false) expect(raw).to.deep.equal(image.manifest);
        const { layers } = imageManifest(raw);
        expect(layers.map(({ digest }) => digest)).to.deep.equal(
          imageManifest(image.manifest).layers.map(({ digest }) => digest),
        );
        for (const layer of layers) {
          const bytes = await buffer(await source.blob(layer).open({ signal, offset: 0 }));
          expect(digestOf(bytes)).to.equal(layer.digest);
        }
      } finally {
        await source.close();
      }
    };

    it('has a name that says what it is', () => {
      expect(destination.name).to.match(/^[a-z0-9-]+:/);
    });

    it('has a blob once it is put, which may be put again, and tells how far it is', async () => {
      const [[descriptor, bytes]] = newImage().blobs as [TestImage['blobs'][0]];
      expect(await destination.hasBlob(descriptor, { signal })).to.equal(false);
      const told: number[] = [];
      const onProgress = (transferred: number): void => void told.push(transferred);
      await destination.putBlob(blobOf(descriptor, bytes), { signal, onProgress });
      expect(await destination.hasBlob(descriptor, { signal })).to.equal(true);
      if (traits.verifies !== 'commit') expect(told.at(-1)).to.equal(bytes.length);
      expect(told).to.deep.equal([...told].sort((a, b) => a - b));
      await destination.putBlob(blobOf(descriptor, bytes), { signal });
      expect(await destination.hasBlob(descriptor, { signal })).to.equal(true);
    });

    it('mounts no blob that it cannot reach', async () => {
      const [[descriptor, bytes]] = newImage().blobs as [TestImage['blobs'][0]];
      const elsewhere: ImageSource = {
        name: 'docker://registry.example/app',
        repository: { host: 'registry.example', repository: 'app' },
        manifest: () => Promise.reject(new Error('not used')),
        blob: () => blobOf(descriptor, bytes),
        tags: async function* () {},
        close: () => Promise.resolve(),
      };
      expect((await destination.mountBlob?.(descriptor, elsewhere, { signal })) ?? false).to.equal(false);
      expect(await destination.hasBlob(descriptor, { signal })).to.equal(false);
    });

    for (const [what, spoil, error] of [
      ['whose bytes are others', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), ONE]), DigestMismatchError],
      ['that is short', (bytes: Buffer) => bytes.subarray(0, -1), SizeMismatchError],
      ['that is long', (bytes: Buffer) => Buffer.concat([ONE, bytes]), SizeMismatchError],
    ] as const)
      it(`refuses a blob ${what}, and shows nothing of it`, async () => {
        const image = newImage();
        const [[layer, bytes], ...others] = image.blobs as [TestImage['blobs'][0], ...TestImage['blobs']];
        const bad = blobOf(layer, spoil(bytes));
        for (const [descriptor, right] of others) await destination.putBlob(blobOf(descriptor, right), { signal });
        if (traits.verifies === 'commit') {
          await destination.putBlob(bad, { signal });
          await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
          expect(await rejection(destination.commit({ signal }))).to.be.instanceOf(error);
        } else {
          const failure = await rejection(destination.putBlob(bad, { signal }));
          expect(failure).to.be.instanceOf(traits.verifies === 'registry' ? ImgtoolError : error);
          expect(await destination.hasBlob(layer, { signal })).to.equal(false);
        }
        await close();
        expect(await read({ tag: place.tag })).to.equal(undefined);
      });

    it('passes on what the source throws, and takes the blob afterwards', async () => {
      const image = newImage();
      const [[layer, bytes]] = image.blobs as [TestImage['blobs'][0]];
      const broken: ReopenableBlob = {
        descriptor: layer,
        open: () =>
          Promise.resolve(
            Readable.from(
              (function* () {
                yield bytes.subarray(0, 1000);
                throw new NotFoundError('the source broke', { kind: 'blob', subject: layer.digest });
              })(),
              { objectMode: false },
            ),
          ),
      };
      const attempt = async (): Promise<void> => {
        await destination.putBlob(broken, { signal });
        if (traits.verifies !== 'commit') return;
        await put({ ...image, blobs: image.blobs.slice(1) });
        await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
        await destination.commit({ signal });
      };
      expect((await rejection(attempt())).message).to.include('the source broke');
      await close();
      await open();
      expect(await destination.hasBlob(layer, { signal })).to.equal(false);
      await put(image);
      await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
      await destination.commit({ signal });
      await close();
      await expectImage(image, { tag: place.tag });
    });

    it('stops when it is aborted: AbortError', async () => {
      const image = newImage();
      const [[layer, bytes]] = image.blobs as [TestImage['blobs'][0]];
      const controller = new AbortController();
      const stop = { signal: controller.signal };
      const endless: ReopenableBlob = {
        descriptor: layer,
        open: () =>
          Promise.resolve(
            Readable.from(
              (async function* () {
                yield bytes.subarray(0, 1000);
                controller.abort();
                await new Promise((resolve) => setImmediate(resolve));
                yield bytes.subarray(1000);
              })(),
              { objectMode: false },
            ),
          ),
      };
      const attempt = async (): Promise<void> => {
        await destination.putBlob(endless, stop);
        if (traits.verifies !== 'commit') return;
        await put({ ...image, blobs: image.blobs.slice(1) });
        await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
        await destination.commit(stop);
      };
      expect((await rejection(attempt())).name).to.equal('AbortError');
      await close();
      expect(await read({ tag: place.tag })).to.equal(undefined);
    });

    it(`shows an image under its tag, ${traits.visible}`, async () => {
      const image = newImage();
      const { manifest } = image;
      expect(await destination.hasManifest(manifest.descriptor, { signal })).to.equal(false);
      await put(image);
      expect(await read({ tag: place.tag })).to.equal(undefined);
      await destination.putManifest(manifest, { tag: place.tag }, { signal });
      expect(await destination.hasManifest(manifest.descriptor, { signal })).to.equal(traits.tellsManifests);
      expect((await read({ tag: place.tag })) !== undefined).to.equal(traits.visible === 'at once');
      await destination.commit({ signal });
      await close();
      await expectImage(image, { tag: place.tag });
    });

    it('shows an image that is put once more, and another one in its place', async () => {
      for (const image of [newImage(), newImage()])
        for (const again of [false, true]) {
          if (!isOpen) await open();
          if (!again) await put(image);
          else
            for (const [descriptor, bytes] of image.blobs)
              if (!(await destination.hasBlob(descriptor, { signal })))
                await destination.putBlob(blobOf(descriptor, bytes), { signal });
          await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
          await destination.commit({ signal });
          await close();
          await expectImage(image, { tag: place.tag });
        }
    });

    it('takes an image without a tag, or says that it needs one', async () => {
      const image = newImage();
      await put(image);
      await destination.putManifest(image.manifest, {}, { signal });
      const commit = destination.commit({ signal, untagged: image.manifest });
      if (traits.untagged === undefined) {
        expect((await rejection(commit)).message).to.include('tag');
        return;
      }
      await commit;
      await close();
      const { digest } = image.manifest.descriptor;
      await expectImage(image, traits.untagged === 'digest' ? { digest } : {});
    });

    it('shows nothing when it is closed without commit', async () => {
      if (traits.visible === 'at once') return;
      const image = newImage();
      await put(image);
      await destination.putManifest(image.manifest, { tag: place.tag }, { signal });
      await close();
      expect(await read({ tag: place.tag })).to.equal(undefined);
    });
  });
}

function blobOf(descriptor: Descriptor, bytes: Buffer): ReopenableBlob {
  return {
    descriptor,
    open: ({ offset, signal: stop }) => {
      stop.throwIfAborted();
      const pieces = [bytes.subarray(offset, offset + 1000), bytes.subarray(offset + 1000)];
      return Promise.resolve(
        Readable.from(
          pieces.filter(({ length }) => length > 0),
          { objectMode: false },
        ),
      );
    },
  };
}

/** An image of one layer that is like no other. */
function newImage(): TestImage {
  const tar = writeTar([{ path: 'file', content: randomBytes(300_000) }]);
  const layer = gzipSync(tar);
  const { os, architecture } = hostPlatform();
  const config = Buffer.from(
    JSON.stringify({
      ...{ created: '2024-01-01T00:00:00Z', os, architecture, config: {} },
      rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
      history: [{ created: '2024-01-01T00:00:00Z', created_by: 'test' }],
    }),
  );
  const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
    ...{ mediaType, digest: digestOf(bytes), size: bytes.length },
  });
  const blobs = [
    [describe(MEDIA_TYPE.ociLayerGzip, layer), layer],
    [describe(MEDIA_TYPE.ociConfig, config), config],
  ] as const;
  const mediaType = MEDIA_TYPE.ociManifest;
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config: blobs[1][0], layers: [blobs[0][0]] }),
  );
  return { manifest: { bytes, descriptor: describe(mediaType, bytes) }, blobs };
}
