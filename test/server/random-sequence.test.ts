import { expect } from 'chai';
import { digestOf } from '../../lib/spec/index.js';
import { manifestOf, RegistryFixture } from './registry-fixture.js';

const STEPS = 250;

/** A small reproducible generator (mulberry32); numbers in [0, 1). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a repository should hold. */
interface Model {
  readonly blobs: Set<string>;
  /** Digest to bytes. */
  readonly manifests: Map<string, string>;
  readonly tags: Map<string, string>;
}

const seed = Number(process.env.IMGTOOL_TEST_SEED ?? Date.now() % 2 ** 31);

describe(`server: random pushes, tags and deletions against a model (IMGTOOL_TEST_SEED=${seed})`, () => {
  let registry: RegistryFixture;
  before(async () => {
    registry = await RegistryFixture.start();
  });
  after(() => registry.stop());

  it('holds what the model holds, restarts included', async () => {
    const random = generator(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
    const repositories = ['a', 'a/b', 'c'];
    const contents = ['one', 'two', 'three', 'four'].map((text) => Buffer.from(text));
    const model = new Map<string, Model>(
      repositories.map((name) => [name, { blobs: new Set(), manifests: new Map(), tags: new Map() }]),
    );
    const statusOf = async (method: string, path: string): Promise<number> =>
      (await registry.send(method, `/v2/${path}`)).status;

    const steps: Record<string, (name: string, held: Model) => Promise<void>> = {
      pushBlob: async (name, held) => {
        held.blobs.add((await registry.pushBlob(name, pick(contents))).digest);
      },
      mountBlob: async (name, held) => {
        const from = pick(repositories);
        const digest = digestOf(pick(contents));
        const status = await statusOf('POST', `${name}/blobs/uploads/?mount=${digest}&from=${from}`);
        expect(status).to.equal(model.get(from)!.blobs.has(digest) ? 201 : 202);
        if (status === 201) held.blobs.add(digest);
      },
      deleteBlob: async (name, held) => {
        const digest = digestOf(pick(contents));
        expect(await statusOf('DELETE', `${name}/blobs/${digest}`)).to.equal(held.blobs.delete(digest) ? 202 : 404);
      },
      pushManifest: async (name, held) => {
        const [config, layer] = [pick(contents), pick(contents)].map((bytes) => ({
          mediaType: 'application/x',
          digest: digestOf(bytes),
          size: bytes.length,
        }));
        const bytes = manifestOf({ config: config!, layers: [layer!] });
        const tag = pick(['x', 'y', 'z']);
        const { status } = await registry.putManifest(name, tag, bytes);
        const complete = held.blobs.has(config!.digest) && held.blobs.has(layer!.digest);
        expect(status).to.equal(complete ? 201 : 400);
        if (!complete) return;
        held.manifests.set(digestOf(bytes), bytes.toString());
        held.tags.set(tag, digestOf(bytes));
      },
      deleteTag: async (name, held) => {
        const tag = pick(['x', 'y', 'z']);
        expect(await statusOf('DELETE', `${name}/manifests/${tag}`)).to.equal(held.tags.delete(tag) ? 202 : 404);
      },
      deleteManifest: async (name, held) => {
        const digest = pick([...held.manifests.keys(), digestOf('none')]);
        const known = held.manifests.delete(digest);
        expect(await statusOf('DELETE', `${name}/manifests/${digest}`)).to.equal(known ? 202 : 404);
        for (const [tag, target] of held.tags) if (target === digest) held.tags.delete(tag);
      },
      restart: async () => {
        if (random() < 0.2) await registry.restart();
      },
    };

    for (let step = 0; step < STEPS; step++) {
      const name = pick(repositories);
      await steps[pick(Object.keys(steps))]!(name, model.get(name)!);
    }

    for (const [name, held] of model) {
      const list = await registry.send('GET', `/v2/${name}/tags/list`);
      expect(list.status).to.equal(held.manifests.size === 0 ? 404 : 200);
      if (list.status === 200) {
        expect(JSON.parse(list.body.toString())).to.eql({ name, tags: [...held.tags.keys()].sort() });
      }
      for (const [digest, bytes] of held.manifests) {
        expect((await registry.send('GET', `/v2/${name}/manifests/${digest}`)).body.toString()).to.equal(bytes);
      }
      for (const [tag, digest] of held.tags) {
        const { headers } = await registry.send('HEAD', `/v2/${name}/manifests/${tag}`);
        expect(headers['docker-content-digest']).to.equal(digest);
      }
      for (const bytes of contents) {
        const status = await statusOf('HEAD', `${name}/blobs/${digestOf(bytes)}`);
        expect(status).to.equal(held.blobs.has(digestOf(bytes)) ? 200 : 404);
      }
    }
    const held = new Set([...model.values()].flatMap(({ blobs }) => [...blobs]));
    const onDisk = (await registry.files()).filter((file) => file.startsWith('blobs/'));
    expect(onDisk).to.eql([...held].map((digest) => `blobs/sha256/${digest.slice(7)}`).sort());
  });
});
