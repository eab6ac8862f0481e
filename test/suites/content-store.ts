import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { ContentStore, Ingest } from '../../lib/content/index.js';
import { DigestMismatchError, InvalidReferenceError, NotFoundError, SizeMismatchError } from '../../lib/errors.js';
import { digestOf, type Descriptor, type Digest, type DigestAlgorithm } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';

const never = new AbortController().signal;

/** A descriptor that fits `bytes`. */
export function descriptorOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Descriptor {
  return { mediaType: 'application/octet-stream', digest: digestOf(bytes, algorithm), size: bytes.length };
}

/** Begins an ingest that is expected to be needed. */
export async function begin(store: ContentStore, descriptor: Descriptor): Promise<Ingest> {
  const ingest = await store.beginIngest(descriptor, { signal: never });
  if (ingest === undefined) throw new Error('the blob is there already');
  return ingest;
}

/** The contract of ContentStore, for any store; `open` gives one that shares its files with every other it gave. */
export function describeContentStore(open: () => ContentStore): void {
  let store: ContentStore;
  beforeEach(() => {
    store = open();
  });

  const listed = async (): Promise<Map<Digest, number>> => {
    const found = new Map<Digest, number>();
    for await (const { digest, size } of store.list()) found.set(digest, size);
    return found;
  };

  for (const size of [0, 1, 300_000, 3 * 2 ** 20 + 17]) {
    it(`gives back ${size} bytes, whole and from any offset`, async () => {
      const bytes = randomBytes(size);
      const digest = await store.put(bytes);
      expect(digest).to.equal(digestOf(bytes));
      expect(await store.stat(digest)).to.deep.equal({ size });
      expect((await store.read(digest)).equals(bytes)).to.equal(true);
      for (const offset of new Set([0, Math.min(1, size), size >> 1, size]))
        expect((await buffer(await store.open(digest, { offset }))).equals(bytes.subarray(offset))).to.equal(true);
      expect((await listed()).get(digest)).to.equal(size);
    });
  }

  it('knows sha512 as well', async () => {
    const bytes = randomBytes(1000);
    const { digest } = descriptorOf(bytes, 'sha512');
    expect(await store.put(bytes, digest)).to.equal(digest);
    expect((await store.read(digest)).equals(bytes)).to.equal(true);
  });

  it('knows nothing of a blob that is not there, and deletes without complaint', async () => {
    const { digest } = descriptorOf(randomBytes(8));
    expect(await store.stat(digest)).to.equal(undefined);
    expect(await rejection(store.open(digest))).to.be.instanceOf(NotFoundError);
    expect(await rejection(store.read(digest))).to.be.instanceOf(NotFoundError);
    await store.delete(digest);
    await store.put(Buffer.from('x'));
    await store.delete(digestOf('x'));
    expect(await store.stat(digestOf('x'))).to.equal(undefined);
  });

  it('puts nothing under a digest that is not its own', async () => {
    const { digest } = descriptorOf(randomBytes(8));
    expect(await rejection(store.put(Buffer.from('other'), digest))).to.be.instanceOf(DigestMismatchError);
    expect((await listed()).has(digest)).to.equal(false);
  });

  it('reads no more into memory than it is told to', async () => {
    const digest = await store.put(randomBytes(1001));
    expect(await rejection(store.read(digest, { maxBytes: 1000 }))).to.be.instanceOf(SizeMismatchError);
  });

  it('takes a stream of unknown digest, and keeps nothing of one that fails, differs or is aborted', async () => {
    const bytes = randomBytes(700_000);
    const parts = (): Readable => Readable.from([bytes.subarray(0, 10), bytes.subarray(10)]);
    expect(await store.ingestStream(parts(), { signal: never })).to.deep.equal({
      digest: digestOf(bytes),
      size: bytes.length,
    });
    await store.delete(digestOf(bytes));
    const before = await listed();
    const broken = Readable.from(
      (function* () {
        yield bytes.subarray(0, 600_000);
        throw new Error('the source broke');
      })(),
    );
    expect((await rejection(store.ingestStream(broken, { signal: never }))).message).to.equal('the source broke');
    const differs = store.ingestStream(parts(), { signal: never, expected: digestOf('other') });
    expect(await rejection(differs)).to.be.instanceOf(DigestMismatchError);
    const controller = new AbortController();
    const endless = new Readable({ read: () => undefined });
    endless.push(bytes);
    const aborted = rejection(store.ingestStream(endless, { signal: controller.signal }));
    while (endless.readableLength > 0) await sleep(5);
    controller.abort();
    expect((await aborted).name).to.equal('AbortError');
    expect(endless.destroyed).to.equal(true);
    expect(await listed()).to.deep.equal(before);
  });

  describe('a download', () => {
    let bytes: Buffer;
    beforeEach(() => {
      bytes = randomBytes(2 * 2 ** 20 + 5);
    });

    it('is published by commit and not before, readable while it grows', async () => {
      const descriptor = descriptorOf(bytes);
      const ingest = await begin(store, descriptor);
      expect(ingest.offset).to.equal(0);
      await ingest.write(bytes.subarray(0, 2 ** 20));
      await ingest.write(bytes.subarray(2 ** 20));
      expect(ingest.offset).to.equal(bytes.length);
      expect(await store.stat(descriptor.digest)).to.equal(undefined);
      await ingest.commit();
      await ingest.release();
      expect(ingest.growing.waitBeyond(0)).to.deep.equal({ length: bytes.length, state: 'finished' });
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
      expect(await open().beginIngest(descriptor, { signal: never })).to.equal(undefined);
      await store.delete(descriptor.digest);
    });

    it('goes on where an earlier one was released', async () => {
      const descriptor = descriptorOf(bytes);
      const first = await begin(store, descriptor);
      await first.write(bytes.subarray(0, 1_234_567));
      await first.release();
      await first.release();
      expect(first.growing.failed).to.equal(true);
      const second = await begin(open(), descriptor);
      expect(second.offset).to.equal(1_234_567);
      expect(second.growing.waitBeyond(0)).to.deep.equal({ length: 1_234_567, state: 'growing' });
      await second.write(bytes.subarray(1_234_567));
      await second.commit();
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
      await store.delete(descriptor.digest);
    });

    it('refuses bytes beyond its size', async () => {
      const ingest = await begin(store, descriptorOf(bytes));
      await ingest.write(bytes);
      expect(await rejection(ingest.write(Buffer.from('x')))).to.be.instanceOf(SizeMismatchError);
      await ingest.commit();
      await store.delete(ingest.descriptor.digest);
    });

    it('drops wrong bytes and takes right ones in the same run; who read the wrong ones is told', async () => {
      const ingest = await begin(store, descriptorOf(bytes));
      const wrong = Buffer.from(bytes);
      wrong[1_500_000]! ^= 1;
      await ingest.write(wrong);
      expect(await rejection(ingest.commit())).to.be.instanceOf(DigestMismatchError);
      expect(ingest.offset).to.equal(0);
      expect(ingest.growing.failed).to.equal(true);
      expect(await store.stat(ingest.descriptor.digest)).to.equal(undefined);
      await ingest.write(bytes.subarray(0, 5));
      expect(await rejection(ingest.commit())).to.be.instanceOf(SizeMismatchError);
      await ingest.write(bytes);
      await ingest.commit();
      expect(ingest.growing.failed).to.equal(true);
      expect((await store.read(ingest.descriptor.digest)).equals(bytes)).to.equal(true);
      await store.delete(ingest.descriptor.digest);
    });

    it('keeps nothing of wrong bytes for the next run', async () => {
      const descriptor = descriptorOf(bytes);
      const first = await begin(store, descriptor);
      await first.write(Buffer.alloc(bytes.length));
      await rejection(first.commit());
      await first.release();
      const second = await begin(store, descriptor);
      expect(second.offset).to.equal(0);
      await second.release();
    });

    it('is waited for and shared by others who want the same blob', async () => {
      const descriptor = descriptorOf(bytes);
      const ingest = await begin(store, descriptor);
      let waits = 0;
      const others = [open(), open()].map((other) =>
        other.beginIngest(descriptor, { signal: never, onWait: () => waits++ }),
      );
      await ingest.write(bytes);
      while (waits < 2) await sleep(5);
      await sleep(60);
      expect(waits).to.equal(2);
      await ingest.commit();
      expect(await Promise.all(others)).to.deep.equal([undefined, undefined]);
      expect(waits).to.equal(2);
      await store.delete(descriptor.digest);
    });

    it('passes to one of those who wait when its owner gives up', async () => {
      const descriptor = descriptorOf(bytes);
      const ingest = await begin(store, descriptor);
      await ingest.write(bytes.subarray(0, 600_000));
      let waits = 0;
      const others = [open(), open()].map((other) =>
        other.beginIngest(descriptor, { signal: never, onWait: () => waits++ }),
      );
      while (waits < 2) await sleep(5);
      await ingest.release();
      const heir = (await Promise.race(others))!;
      expect(heir.offset).to.equal(600_000);
      await heir.write(bytes.subarray(600_000));
      await heir.commit();
      expect((await Promise.all(others)).filter((other) => other === undefined)).to.have.length(1);
      await store.delete(descriptor.digest);
    });

    it('stops waiting at once when aborted', async () => {
      const ingest = await begin(store, descriptorOf(bytes));
      const controller = new AbortController();
      // The abort comes while it waits.
      const onWait = (): void => void setImmediate(() => controller.abort());
      const waiting = rejection(open().beginIngest(ingest.descriptor, { signal: controller.signal, onWait }));
      expect((await waiting).name).to.equal('AbortError');
      await ingest.release();
    });

    it('whose size does not fit a blob that is here is refused, and the blob kept', async () => {
      const digest = await store.put(bytes);
      const wrong = { ...descriptorOf(bytes), size: bytes.length - 1 };
      expect(await rejection(store.beginIngest(wrong, { signal: never }))).to.be.instanceOf(SizeMismatchError);
      expect(await store.stat(digest)).to.deep.equal({ size: bytes.length });
      await store.delete(digest);
    });
  });

  describe('a digest that is a path (CVE-2014-9358, CVE-2024-3727; case 17)', () => {
    const hex = digestOf('x').slice('sha256:'.length);
    const bad = [
      'sha256:../../x',
      'sha256:',
      `sha256:${hex.toUpperCase()}`,
      `sha256:${hex}0`,
      `sha256:${hex.slice(1)}`,
      `../${hex}`,
      `sha256:${hex.slice(2)}/x`,
      `md5:${hex}`,
      `sha256:${hex}\0`,
      '',
    ];
    for (const text of bad) {
      it(`${JSON.stringify(text).slice(0, 30)} (${text.length} characters) is refused everywhere`, async () => {
        const digest = text as Digest;
        const tries = [
          () => store.stat(digest),
          () => store.open(digest),
          () => store.read(digest),
          () => store.delete(digest),
          () => store.put(Buffer.from('x'), digest),
          () => store.ingestStream(Readable.from(['x']), { signal: never, expected: digest }),
          () => store.beginIngest({ mediaType: 'x/y', digest, size: 1 }, { signal: never }),
        ];
        for (const attempt of tries) expect(await rejection(attempt())).to.be.instanceOf(InvalidReferenceError);
        expect(() => store.path(digest)).to.throw(InvalidReferenceError);
      });
    }
  });
}
