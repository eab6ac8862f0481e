import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { NotFoundError, UsageError } from '../../lib/errors.js';
import {
  digestAlgorithm,
  digestOf,
  parseManifest,
  type Descriptor,
  type ImageManifest,
  type ImageSource,
  type RawManifest,
} from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { descriptorOf } from './content-store.js';

/** A source of one image to judge. */
export interface SourceUnderTest {
  /** Opens the source once more. */
  readonly open: () => Promise<ImageSource>;
  /** Its tags; the first one names the image. */
  readonly tags: readonly string[];
  /** Its digest, where the medium keeps manifests. */
  readonly digest?: string | undefined;
  /** False: the medium knows images by their tags alone. */
  readonly hasDigests?: boolean;
}

const { signal } = new AbortController();
/** Archives are incomplete where they lack what they name. */
const IS_ABSENT = /^(NotFound|ArchiveFormat)Error$/;

/** The manifest of a single image. */
export function imageManifest({ bytes, descriptor }: RawManifest): ImageManifest {
  const document = parseManifest(bytes, descriptor.mediaType, 'the manifest');
  if (document.kind === 'index') throw new Error('an image was expected, not an index');
  return document;
}

/** The contract of ImageSource; `medium` is called in tests only, one of whose layers has over 512 KiB. */
export function describeImageSource(kind: string, medium: () => SourceUnderTest): void {
  describe(`${kind}, to copy from`, () => {
    let source: ImageSource;
    beforeEach(async () => {
      source = await medium().open();
    });
    afterEach(() => source.close());

    const byTag = (): Promise<RawManifest> => source.manifest({ tag: medium().tags[0] }, { signal });
    const absent = descriptorOf(Buffer.from('is nowhere'));
    const aborted = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.abort() });

    it('has a name that says what it is', () => {
      expect(source.name).to.match(/^[a-z0-9-]+:/);
    });

    it('gives the manifest of a tag, its bytes those of its descriptor', async () => {
      const { bytes, descriptor } = await byTag();
      expect(descriptor.digest).to.equal(digestOf(bytes, digestAlgorithm(descriptor.digest)));
      expect(descriptor.size).to.equal(bytes.length);
      if (medium().digest !== undefined) expect(descriptor.digest).to.equal(medium().digest);
      expect(imageManifest({ bytes, descriptor }).layers).not.to.deep.equal([]);
    });

    it('gives the same by digest, which decides where a tag is given as well, or says that it knows tags only', async () => {
      const raw = await byTag();
      const { digest } = raw.descriptor;
      for (const tag of [undefined, ...medium().tags, 'no-such-tag']) {
        const found = source.manifest({ digest, tag }, { signal });
        if (medium().hasDigests === false) expect(await rejection(found)).to.be.instanceOf(UsageError);
        else expect(await found).to.deep.equal(raw);
      }
    });

    it('gives the only image where neither is given, or says that it knows tags only', async () => {
      const found = source.manifest({}, { signal });
      if (medium().hasDigests === false) expect(await rejection(found)).to.be.instanceOf(UsageError);
      else expect(await found).to.deep.equal(await byTag());
    });

    it('says what is not there', async () => {
      const selectors = [{ tag: 'no-such-tag' }, ...(medium().hasDigests === false ? [] : [{ digest: absent.digest }])];
      for (const selector of selectors)
        expect((await rejection(source.manifest(selector, { signal }))).name).to.match(IS_ABSENT);
    });

    it('gives each blob that the manifest names, from any offset, as often as it is asked', async () => {
      const { config, layers } = imageManifest(await byTag());
      for (const descriptor of [config, ...layers]) {
        const blob = source.blob(descriptor);
        expect(blob.descriptor).to.deep.equal(descriptor);
        const whole = await buffer(await blob.open({ signal, offset: 0 }));
        expect(digestOf(whole, digestAlgorithm(descriptor.digest))).to.equal(descriptor.digest);
        for (const offset of [1, whole.length >> 1, whole.length - 1, whole.length]) {
          const rest = await buffer(await blob.open({ signal, offset }));
          expect(rest.equals(whole.subarray(offset)), `from ${offset} of ${whole.length}`).to.equal(true);
        }
      }
    });

    it('gives a blob again when it was left in the middle, and several at the same time', async () => {
      const [blob, size] = await largest();
      const first = await blob.open({ signal, offset: 0 });
      for await (const _chunk of first) break;
      expect(first.destroyed).to.equal(true);
      const streams = await Promise.all([0, size >> 1].map((offset) => blob.open({ signal, offset })));
      const [whole, half] = await Promise.all(streams.map((stream) => buffer(stream)));
      expect(whole!.subarray(size >> 1).equals(half!)).to.equal(true);
    });

    it('rejects where a blob is not there, not before it is opened', async () => {
      const blob = source.blob(absent);
      expect((await rejection(read(blob.open({ signal, offset: 0 })))).name).to.match(
        /^(NotFound|ArchiveFormat)Error$/,
      );
    });

    it('stops when it is aborted: AbortError', async () => {
      const [blob] = await largest();
      const tries = [
        (): Promise<unknown> => source.manifest({ tag: medium().tags[0] }, aborted()),
        (): Promise<unknown> => read(blob.open({ ...aborted(), offset: 0 })),
      ];
      for (const attempt of tries) expect((await rejection(attempt())).name).to.equal('AbortError');
      const controller = new AbortController();
      const stream = await blob.open({ signal: controller.signal, offset: 0 });
      const failure = rejection(
        (async () => {
          for await (const _chunk of stream) controller.abort();
        })(),
      );
      expect((await failure).name).to.equal('AbortError');
      expect(stream.destroyed).to.equal(true);
    });

    it('lists its tags', async () => {
      const tags: string[] = [];
      for await (const tag of source.tags({ signal })) tags.push(tag);
      expect(tags).to.have.members(medium().tags);
    });

    it('says how large a blob is whose size no manifest tells, where such manifests are', async () => {
      if (source.blobSize === undefined) return;
      const { config } = imageManifest(await byTag());
      expect(await source.blobSize(config.digest, { signal })).to.equal(config.size);
      expect(await rejection(source.blobSize(absent.digest, { signal }))).to.be.instanceOf(NotFoundError);
    });

    it('may be closed twice, and opened once more', async () => {
      await byTag();
      await source.close();
      await source.close();
      source = await medium().open();
      await byTag();
    });

    async function largest(): Promise<[blob: ReturnType<ImageSource['blob']>, size: number]> {
      const sorted = [...imageManifest(await byTag()).layers].sort((a, b) => b.size - a.size);
      const { size } = sorted[0] as Descriptor;
      expect(size).to.be.greaterThan(512 * 1024);
      return [source.blob(sorted[0]!), size];
    }
  });
}

async function read(opened: ReturnType<ReturnType<ImageSource['blob']>['open']>): Promise<Buffer> {
  return buffer(await opened);
}
