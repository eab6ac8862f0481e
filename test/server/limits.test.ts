import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { DirectoryReader } from '../../lib/server/directory-reader.js';
import { DirectoryLayout } from '../../lib/server/directory-layout.js';
import { openDirectoryStorage } from '../../lib/server/directory-storage.js';
import type { RegistryStorage } from '../../lib/server/index.js';
import { V1Images } from '../../lib/server/v1/images.js';
import { digestHex, digestOf, MAX_MANIFEST_BYTES, MEDIA_TYPE, type Digest } from '../../lib/spec/index.js';
import { errorCode, manifestOf, RegistryFixture, type Answer } from './registry-fixture.js';

const parsed = ({ body }: Answer): unknown => JSON.parse(body.toString());

/** Requests whose cost is out of proportion to what was sent (hostile-input.md, 40). */
describe('server: memory and time of every request are bounded', () => {
  let registry: RegistryFixture;
  beforeEach(async () => {
    registry = await RegistryFixture.start();
  });
  afterEach(() => registry.stop());

  /** Writes referrers as the server does; faster than pushing them. */
  const addReferrers = async (subject: Digest, count: number, annotationBytes: number): Promise<Digest[]> => {
    const layout = new DirectoryLayout(registry.dir);
    await mkdir(layout.referrers('a', subject), { recursive: true });
    await mkdir(join(layout.manifests('a'), 'sha256'), { recursive: true });
    const digests = Array.from({ length: count }, (_, i) => digestOf(`${i}`)).sort();
    for (const [i, digest] of digests.entries()) {
      const entry = {
        ...{ mediaType: MEDIA_TYPE.ociManifest, digest, size: 1, artifactType: `kind/${i % 2}` },
        annotations: { a: 'x'.repeat(annotationBytes) },
      };
      await writeFile(layout.manifest('a', digest), '');
      await writeFile(layout.referrer('a', subject, digest), JSON.stringify(entry));
    }
    return digests;
  };

  it('a page of referrers reads what it shows and no more, and all pages together show each once', async () => {
    const subject = digestOf('subject');
    const digests = await addReferrers(subject, 40, 1024 * 1024);
    for (const filter of ['', '?artifactType=kind/0']) {
      const seen: string[] = [];
      let pages = 0;
      for (let next: string | undefined = `/v2/a/referrers/${subject}${filter}`; next !== undefined; pages++) {
        const answer = await registry.send('GET', next);
        expect(answer.body.length).to.be.lessThan(MAX_MANIFEST_BYTES);
        seen.push(...(parsed(answer) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest));
        next = /^<([^>]+)>/.exec(String(answer.headers.link))?.[1];
      }
      expect(seen).to.deep.equal(filter === '' ? digests : digests.filter((_, i) => i % 2 === 0));
      // Three or four of 1 MiB fit a page; with a filter, as many again are read in vain.
      expect(pages).to.be.within(5, 15);
    }
  });

  it('referrers are read one at a time, and none before the place asked for', async () => {
    const subject = digestOf('subject');
    const digests = await addReferrers(subject, 50, 1);
    const layout = new DirectoryLayout(registry.dir);
    // Damaged: reading one of them would fail.
    for (const at of [0, 40, 44, 49]) await writeFile(layout.referrer('a', subject, digests[at]!), '{');
    const reader = new DirectoryReader(layout);
    const found: string[] = [];
    for await (const { digest } of reader.referrers('a', subject, digests[40])) {
      found.push(digest);
      if (found.length === 3) break;
    }
    expect(found).to.deep.equal(digests.slice(41, 44));
  });

  it('tags and repositories by the hundred thousand come in pages of 10,000, whatever n says', async () => {
    await registry.pushImage('a', '1', 'x');
    const tags = join(registry.dir, 'repositories/a/_tags');
    const digest = await readFile(join(tags, '1'), 'utf8');
    for (let from = 0; from < 12_000; from += 1000)
      await Promise.all(Array.from({ length: 1000 }, (_, i) => writeFile(join(tags, `t${from + i}`), digest)));
    for (const query of ['', '?n=99999']) {
      const first = await registry.send('GET', `/v2/a/tags/list${query}`);
      expect((parsed(first) as { tags: string[] }).tags).to.have.length(10_000);
      const next = /^<([^>]+)>; rel="next"$/.exec(String(first.headers.link))![1]!;
      const second = await registry.send('GET', next);
      expect((parsed(second) as { tags: string[] }).tags).to.have.length(2001);
      expect(second.headers.link).to.equal(undefined);
    }
    // Over v1, thousands of tags of one manifest read it once.
    const storage = await openDirectoryStorage({ dir: registry.dir, readOnly: true });
    const [counted, reads] = countingManifests(storage);
    await new V1Images(counted).tags('a');
    expect(reads()).to.be.lessThan(3);
    await storage.close();
  });

  it('the catalog is walked once until a repository comes or goes', async () => {
    const list = async (): Promise<unknown> => parsed(await registry.send('GET', '/v2/_catalog'));
    await registry.pushImage('a', '1', 'x');
    expect(await list()).to.deep.equal({ repositories: ['a'] });
    // Behind the server's back, which holds the lock: not looked for.
    await mkdir(join(registry.dir, 'repositories/hidden/_manifests'), { recursive: true });
    expect(await list()).to.deep.equal({ repositories: ['a'] });
    const { digest } = await registry.pushImage('b', '1', 'y');
    expect(await list()).to.deep.equal({ repositories: ['a', 'b', 'hidden'] });
    await registry.send('DELETE', `/v2/b/manifests/${digest}`);
    expect(await list()).to.deep.equal({ repositories: ['a', 'hidden'] });
  });

  it('an index that names large manifests thousands of times reads none of them', async () => {
    const { digest, bytes } = await registry.pushImage('a', '1', 'x');
    // Its bytes are gone: who read it would not find it.
    await writeFile(new DirectoryLayout(registry.dir).manifest('a', digest), '');
    const entry = { mediaType: MEDIA_TYPE.ociManifest, digest, size: bytes.length };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: Array(20_000).fill(entry) };
    const body = Buffer.from(JSON.stringify(index));
    expect((await registry.putManifest('a', 'many', body, MEDIA_TYPE.ociIndex)).status).to.equal(201);
  });

  it('a manifest of 100,000 levels or of 100,000 layers is refused', async () => {
    const { config, layers } = JSON.parse((await registry.pushImage('a', '1', 'x')).bytes.toString()) as never;
    const deep = `{"schemaVersion":2,"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const wide = manifestOf({ config, layers: Array(100_000).fill(layers[0]) });
    for (const body of [Buffer.from(deep), wide]) {
      const answer = await registry.putManifest('a', '2', body);
      expect([400, 413]).to.include(answer.status);
      expect(['MANIFEST_INVALID', 'SIZE_INVALID']).to.include(errorCode(answer));
    }
  });

  it('a v1 layer that expands to a thousand times its size is refused early', async () => {
    const id = 'a'.repeat(64);
    await registry.send('PUT', `/v1/images/${id}/json`, { body: JSON.stringify({ id }) });
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
    const answer = await registry.send('PUT', `/v1/images/${id}/layer`, { body: bomb });
    expect(answer.status).to.equal(400);
    expect(answer.body.toString()).to.contain('expands to more than the limit of 67108864 bytes');
    expect((await registry.files()).filter((file) => /layer$|temporary\//.test(file))).to.deep.equal([]);
  });

  it('the ancestry of an image of hundreds of layers reads its manifest once', async () => {
    const blobs = await Promise.all(
      Array.from({ length: 300 }, (_, i) => registry.pushBlob('a', Buffer.from(`layer ${i}`))),
    );
    const config = Buffer.from(
      JSON.stringify({ rootfs: { type: 'layers', diff_ids: blobs.map(({ digest }) => digest) } }),
    );
    const bytes = manifestOf({ config: await registry.pushBlob('a', config), layers: blobs });
    expect((await registry.putManifest('a', '1', bytes)).status).to.equal(201);
    const storage = await openDirectoryStorage({ dir: registry.dir, readOnly: true });
    const [counted, reads] = countingManifests(storage);
    expect(await new V1Images(counted).chain(digestHex(digestOf(config)))).to.have.length(300);
    expect(reads()).to.equal(2);
    await storage.close();
  });

  it('v1 images whose JSONs are together too large for one answer have no ancestry, and lists leave the JSON out', async () => {
    const filler = 'x'.repeat(3 * 1024 * 1024);
    let parent: string | undefined;
    for (const char of 'abcdef') {
      const id = char.repeat(64);
      const directory = join(registry.dir, 'v1/images', id);
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, 'json'), JSON.stringify({ id, parent, comment: filler }));
      await writeFile(join(directory, 'complete'), '');
      parent = id;
    }
    const storage = await openDirectoryStorage({ dir: registry.dir, readOnly: true });
    const images = new V1Images(storage);
    expect(await images.chain(parent!)).to.equal(undefined);
    expect(await images.chain('c'.repeat(64))).to.have.length(3);
    expect(JSON.stringify(await images.withAncestors([parent!])).length).to.be.lessThan(1000);
    await storage.close();
  });
});

/** The storage, and how often a manifest was read through it. */
function countingManifests(storage: RegistryStorage): [RegistryStorage, () => number] {
  let reads = 0;
  const counting = new Proxy(storage, {
    get: (target, name: keyof RegistryStorage) => {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        if (name === 'findManifest') reads += 1;
        return (member as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return [counting, () => reads];
}
