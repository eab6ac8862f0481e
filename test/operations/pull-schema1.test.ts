import { mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { createContentStore } from '../../lib/content/index.js';
import { DigestMismatchError, InvalidManifestError, LayerFormatError, NotFoundError } from '../../lib/errors.js';
import { createLayerApplier } from '../../lib/layer/index.js';
import { createMetadataStore } from '../../lib/metadata/index.js';
import { pullImage, type PullRequest, type PullResult } from '../../lib/operations/index.js';
import { createSnapshotter, openStore } from '../../lib/snapshot/index.js';
import { chainIds, digestOf, hostPlatform, manifestDigest, MEDIA_TYPE, signDocument } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { rejection } from '../helpers/rejection.js';
import type { Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { writeTar } from '../helpers/tar-writer.js';

const EMPTY = gzipSync(Buffer.alloc(1024));

/** A schema 1 manifest of layers, oldest first; empty ones are marked or not. */
function manifestOf(layers: readonly { readonly blob: Buffer; readonly throwaway?: boolean }[], name = 'a/b'): Buffer {
  const id = (i: number): string => String(i).padStart(64, '0');
  const newestFirst = layers.map((layer, i) => ({ ...layer, id: id(i), i })).reverse();
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 1,
      name,
      tag: '1',
      architecture: hostPlatform().architecture,
      fsLayers: newestFirst.map(({ blob }) => ({ blobSum: digestOf(blob) })),
      history: newestFirst.map(({ id: own, i, throwaway }) => ({
        v1Compatibility: JSON.stringify({ id: own, ...(i > 0 ? { parent: id(i - 1) } : {}), throwaway }),
      })),
    }),
  );
}

describe('operations/pull-schema1', () => {
  const suite = scriptedSuite();
  let root: string;
  let notes: string[];
  let local: Omit<Parameters<typeof pullImage>[0], 'registry'>;
  beforeEach(async () => {
    ({ root } = await openStore(join(await mkdtemp(join(btrfsDirectory('schema1'), 'x-')), 'root'), { create: true }));
    notes = [];
    local = {
      content: createContentStore({ root }),
      metadata: createMetadataStore({ root }),
      snapshots: createSnapshotter({ root }),
      createApplier: () => createLayerApplier(),
      progress: { event: () => undefined, note: (line) => void notes.push(line) },
    };
  });

  const manifestStep = (bytes: Buffer, contentType: string = MEDIA_TYPE.dockerSchema1Signed, at = '1'): Step => ({
    method: 'GET',
    path: `/v2/a/b/manifests/${at}`,
    reply: { body: bytes, headers: { 'content-type': contentType } },
  });
  const blobSteps = (blob: Buffer): Step[] =>
    (['HEAD', 'GET'] as const).map((method) => ({
      method,
      path: `/v2/a/b/blobs/${digestOf(blob)}`,
      reply: { body: blob },
    }));

  async function pull(steps: readonly Step[], reference: Partial<PullRequest['reference']> = {}): Promise<PullResult> {
    const server = await suite.serve(...steps);
    return pullImage(
      { ...local, registry: suite.client() },
      {
        reference: { host: server.host, repository: 'a/b', tag: '1', ...reference },
        platform: hostPlatform(),
        platformGiven: false,
        policy: 'always',
        reserveBytes: 0,
        signal: new AbortController().signal,
      },
    );
  }
  const files = async ({ id }: PullResult): Promise<string[]> => {
    const record = (await local.metadata.images.list()).find((image) => image.id === id)!;
    return readdir(local.snapshots.layerPath(record.chainIds.at(-1)!));
  };

  const [one, two] = ['one', 'two'].map((name) => gzipSync(writeTar([{ path: name, content: name }]))) as [
    Buffer,
    Buffer,
  ];

  it('marked empty layers are steps of the history only, unmarked ones are layers', async () => {
    const layers = [{ blob: one }, { blob: EMPTY, throwaway: true }, { blob: EMPTY }, { blob: EMPTY }, { blob: two }];
    const manifest = signDocument(manifestOf(layers));
    const result = await pull([manifestStep(manifest), ...[one, EMPTY, two].flatMap(blobSteps)]);
    expect(result.layers.map(({ digest }) => digest)).to.deep.equal([one, EMPTY, EMPTY, two].map((b) => digestOf(b)));
    expect(await files(result)).to.have.members(['one', 'two']);
    const again = await pull([manifestStep(manifest)]);
    expect(again.id).to.equal(result.id);
    expect(again.layers.map(({ state }) => state)).to.deep.equal(Array(4).fill('present'));
  });

  it('only what is new on top of known layers is fetched', async () => {
    const below = await pull([manifestStep(signDocument(manifestOf([{ blob: one }]))), ...blobSteps(one)]);
    const result = await pull([
      manifestStep(manifestOf([{ blob: one }, { blob: two }]), 'application/json'),
      ...blobSteps(two),
    ]);
    expect(result.layers.map(({ state }) => state)).to.deep.equal(['present', 'fetched']);
    expect(await files(result)).to.have.members(['one', 'two']);
    expect(await files(below)).to.deep.equal(['one']);
  });

  it('one that calls itself by another name, as through a proxy, is taken with a note, and without one by its digest', async () => {
    const payload = manifestOf([{ blob: one }], 'library/b');
    expect(await files(await pull([manifestStep(signDocument(payload)), ...blobSteps(one)]))).to.deep.equal(['one']);
    const note = 'the manifest calls itself "library/b:1": it is taken as a/b:1';
    expect(notes).to.deep.equal([note]);
    const bytes = signDocument(manifestOf([{ blob: two }], 'library/b'));
    const digest = manifestDigest(bytes, MEDIA_TYPE.dockerSchema1Signed);
    await pull([manifestStep(bytes, MEDIA_TYPE.dockerSchema1Signed, digest), ...blobSteps(two)], { digest });
    expect(notes).to.deep.equal([note]);
  });

  it('a pin is honoured: the signed text’s digest is none, another payload’s is wrong (GO-2024-3038)', async () => {
    const bytes = signDocument(manifestOf([{ blob: one }]));
    for (const digest of [digestOf(bytes), digestOf('other')]) {
      const step = { ...manifestStep(bytes, MEDIA_TYPE.dockerSchema1Signed, digest), times: 2 };
      expect(await rejection(pull([step], { digest }))).to.be.instanceOf(DigestMismatchError);
    }
  });

  const hostile: Record<string, { steps: () => Step[]; error: new (...args: never[]) => Error }> = {
    'a changed manifest': {
      steps: () => [
        manifestStep(
          Buffer.from(
            signDocument(manifestOf([{ blob: one }]))
              .toString()
              .replace('a/b', 'a/c'),
          ),
        ),
      ],
      error: InvalidManifestError,
    },
    'an unsigned one that claims to be signed': {
      steps: () => [manifestStep(manifestOf([{ blob: one }]))],
      error: InvalidManifestError,
    },
    'a missing layer': {
      steps: () => [
        manifestStep(signDocument(manifestOf([{ blob: one }]))),
        // A HEAD alone may be wrong.
        { method: 'HEAD', path: `/v2/a/b/blobs/${digestOf(one)}`, reply: { status: 404 } },
        { method: 'GET', path: `/v2/a/b/blobs/${digestOf(one)}`, reply: { status: 404 } },
      ],
      error: NotFoundError,
    },
    'a layer that is cut inside': {
      steps: () => {
        const cut = gzipSync(writeTar([{ path: 'file', content: 'x'.repeat(5000) }]).subarray(0, 2000));
        return [
          manifestStep(signDocument(manifestOf([{ blob: one }, { blob: cut }]))),
          ...[one, cut].flatMap(blobSteps),
        ];
      },
      error: LayerFormatError,
    },
  };
  for (const [name, { steps, error }] of Object.entries(hostile))
    it(`${name} is refused and leaves no image and no work`, async () => {
      expect(await rejection(pull(steps()))).to.be.instanceOf(error);
      expect(await local.metadata.images.list()).to.deep.equal([]);
      expect(await readdir(join(root, 'work'))).to.deep.equal([]);
    });

  it('layers are filed under their chainIDs, whatever the manifest calls them (CVE-2014-8178)', async () => {
    const layers = [{ blob: one }, { blob: two }];
    await pull([manifestStep(signDocument(manifestOf(layers))), ...[one, two].flatMap(blobSteps)]);
    const [record] = await local.metadata.images.list();
    expect(await local.snapshots.listLayers()).to.have.members(chainIds(record!.diffIds));
  });
});
