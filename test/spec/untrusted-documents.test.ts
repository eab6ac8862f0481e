import { expect } from 'chai';
import { InvalidManifestError, UnsupportedMediaTypeError } from '../../lib/errors.js';
import {
  buildSchema1,
  composeV1Images,
  configOfV1,
  digestOf,
  formatPlatform,
  isNonDistributable,
  MEDIA_TYPE,
  parseAncestry,
  parseImageConfig,
  parseManifest,
  parseSchema1,
  parseV1Image,
  signDocument,
  type DiffId,
  type ImageIndex,
  type ImageManifest,
} from '../../lib/spec/index.js';
import { randomSource } from '../helpers/random-source.js';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const diffId = digestOf('tar') as DiffId;
const config = {
  created: '2020-01-01T00:00:00Z',
  author: 'me',
  architecture: 'amd64',
  os: 'linux',
  variant: 'v1',
  config: {
    User: 'root',
    ExposedPorts: { '80/tcp': {} },
    Env: ['A=b'],
    Entrypoint: ['sh'],
    Cmd: ['-c', 'true'],
    Volumes: { '/data': {} },
    WorkingDir: '/',
    Labels: { a: 'b' },
    StopSignal: 'TERM',
  },
  rootfs: { type: 'layers', diff_ids: [diffId] },
  history: [{ created: '2020-01-01T00:00:00Z', created_by: 'x', author: 'me', comment: 'c', empty_layer: false }],
};
const blob = (mediaType: string): { [name: string]: Json } => ({
  mediaType,
  digest: digestOf(mediaType),
  size: 1,
  urls: ['https://example.com'],
  annotations: { a: 'b' },
});
const manifest = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociManifest,
  artifactType: 'a/b',
  config: blob(MEDIA_TYPE.ociConfig),
  layers: [blob(MEDIA_TYPE.ociLayerGzip)],
  subject: blob(MEDIA_TYPE.ociManifest),
  annotations: { a: 'b' },
};
const platform = { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1', 'os.features': ['f'] };
const index = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociIndex,
  manifests: [{ ...blob(MEDIA_TYPE.ociManifest), platform }],
  annotations: { a: 'b' },
};
const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const configOf = (document: unknown): ReturnType<typeof parseImageConfig> =>
  parseImageConfig(bytes(document), 'config c');
const manifestOf = (document: unknown): ImageManifest => parseManifest(bytes(document), '', 'm') as ImageManifest;
const indexOf = (document: unknown): ImageIndex => parseManifest(bytes(document), '', 'm') as ImageIndex;

describe('documents that others wrote', () => {
  const wrong: readonly [field: string, document: unknown, why: RegExp][] = [
    ['config.Env', { ...config, config: { Env: 'A=b' } }, /a string, not a list/],
    ['config.Env[1]', { ...config, config: { Env: ['A=b', 5] } }, /a number, not a string/],
    ['config.User', { ...config, config: { User: 5 } }, /a number, not a string/],
    ['config.Cmd', { ...config, config: { Cmd: { a: 1 } } }, /an object, not a list/],
    ['config.Labels["a"]', { ...config, config: { Labels: { a: 1 } } }, /a number, not a string/],
    ['config.Volumes', { ...config, config: { Volumes: ['/data'] } }, /a list, not an object/],
    ['config.ExposedPorts["80"]', { ...config, config: { ExposedPorts: { 80: true } } }, /true, not an object/],
    ['config', { ...config, config: [] }, /a list, not an object/],
    ['history[0]', { ...config, history: [null] }, /null, not an object/],
    ['history', { ...config, history: {} }, /an object, not a list/],
    ['history[0].empty_layer', { ...config, history: [{ empty_layer: 'yes' }] }, /a string, not true or false/],
    ['rootfs', { ...config, rootfs: 'layers' }, /a string, not an object/],
    ['rootfs.diff_ids[0]', { ...config, rootfs: { diff_ids: ['../x'] } }, /not a digest/],
    ['os', { ...config, os: ['linux'] }, /a list, not a string/],
  ];
  for (const [field, document, why] of wrong) {
    it(`a config whose ${field} has the wrong type is refused by name`, () =>
      expect(() => configOf(document))
        .to.throw(InvalidManifestError, why)
        .with.property('message')
        .that.includes(`config c has a bad ${field}: `));
  }

  it('a config of 100,000 levels is refused by name, in whatever member they are', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    for (const [text, member] of [
      [`{"os":"linux","rootfs":{"diff_ids":[]},"x-deep":${deep}}`, 'x-deep'],
      [`{"os":"linux","config":{"Labels":${deep}}}`, 'config'],
      [deep, 'structure'],
    ] as const)
      expect(() => parseImageConfig(Buffer.from(text), 'config c')).to.throw(
        InvalidManifestError,
        `config c has a bad ${member}: it is nested more than 1000 levels deep`,
      );
  });

  it('brackets in strings are no levels', () => {
    const text = `${'[{'.repeat(5000)}\\"`;
    expect(configOf({ ...config, author: text }).author).to.equal(text);
  });

  it('null counts as left out, in a config, a manifest and an index, as Go programs write it', () => {
    const nulls = Object.fromEntries(Object.keys(config.config).map((name) => [name, null]));
    const parsed = configOf({
      ...{ ...config, created: null, variant: null, history: null, config: nulls },
      rootfs: { type: 'layers', diff_ids: null },
    });
    expect(parsed).to.deep.equal({
      ...{ author: 'me', architecture: 'amd64', os: 'linux', config: {} },
      rootfs: { type: 'layers', diff_ids: [] },
    });
    const none = { ...manifest, layers: null, subject: null, annotations: null, artifactType: null };
    expect(manifestOf(none)).to.deep.include({ layers: [] }).and.not.to.have.any.keys('subject', 'annotations');
    expect(manifestOf({ ...none, layers: undefined }).layers).to.deep.equal([]);
    const layer = { ...blob(MEDIA_TYPE.ociLayerGzip), urls: null, annotations: null };
    const [parsedLayer] = manifestOf({ ...manifest, layers: [layer] }).layers;
    expect(parsedLayer).to.have.all.keys('mediaType', 'digest', 'size');
    expect(isNonDistributable(parsedLayer!)).to.equal(false);
    expect(indexOf({ ...index, manifests: null }).manifests).to.deep.equal([]);
    const entry = (value: unknown): unknown =>
      indexOf({ ...index, manifests: [{ ...blob(MEDIA_TYPE.ociManifest), platform: value }] }).manifests[0]!.platform;
    expect(entry(null)).to.equal(undefined);
    expect(entry({})).to.equal(undefined);
    expect(formatPlatform(entry({ os: 'linux', architecture: 'amd64', variant: null }) as typeof platform)).to.equal(
      'linux/amd64',
    );
  });

  it('members that are unknown stay as they are', () => {
    const more = { ...config, 'x-new': { a: [null] }, config: { ...config.config, Hostname: null } };
    expect(configOf(more)).to.deep.equal(more);
  });

  it('a command that is one string counts as a list of it, as docker reads it', () => {
    expect(configOf({ ...config, config: { Cmd: 'sh' } }).config?.Cmd).to.deep.equal(['sh']);
  });

  it('a config without a media type is that of an image, a layer without one is nothing', () => {
    expect(manifestOf({ ...manifest, config: { ...blob('x'), mediaType: '' } }).config.mediaType).to.equal('');
    expect(() => manifestOf({ ...manifest, layers: [{ ...blob('x'), mediaType: '' }] })).to.throw(InvalidManifestError);
  });

  const source = randomSource();
  it(`random changes to any document are read or refused, never a TypeError (IMGTOOL_TEST_SEED=${source.seed})`, () => {
    const v1 = { id: 'a'.repeat(64), parent: 'b'.repeat(64), container_config: { Cmd: ['x'] }, ...config };
    const schema1 = {
      ...{ schemaVersion: 1, name: 'a/b', tag: '1', architecture: 'amd64' },
      fsLayers: [{ blobSum: digestOf('x') }],
      history: [{ v1Compatibility: JSON.stringify({ ...v1, parent: undefined }) }],
    };
    const kinds: readonly [document: unknown, read: (changed: Buffer) => unknown][] = [
      [
        config,
        (changed) => {
          const { history = [], config: execution, os, architecture, variant = '' } = parseImageConfig(changed, 'c');
          for (const list of [execution?.Env, execution?.Cmd, execution?.Entrypoint]) list?.map((each) => each.trim());
          history.map((step) => step.created_by?.trim());
          formatPlatform({ os, architecture, variant });
          composeV1Images(changed);
          buildSchema1(changed, [digestOf('x')], { name: 'a/b', tag: '1' });
        },
      ],
      [manifest, (changed) => (parseManifest(changed, '', 'm') as ImageManifest).layers.map(isNonDistributable)],
      [
        index,
        (changed) =>
          (parseManifest(changed, '', 'm') as ImageIndex).manifests?.map((entry) => entry.platform?.os.trim()),
      ],
      [v1, (changed) => configOfV1([parseV1Image(changed)], [diffId])],
      [schema1, (changed) => parseSchema1(changed, MEDIA_TYPE.dockerSchema1, 'm')],
      [
        JSON.parse(signDocument(bytes(schema1)).toString()),
        (changed) => parseSchema1(changed, MEDIA_TYPE.dockerSchema1Signed, 'm'),
      ],
      [['a'.repeat(64), 'b'.repeat(64)], (changed) => parseAncestry(changed, 'a'.repeat(64))],
    ];
    let refused = 0;
    for (let round = 0; round < 6000; round++) {
      const [document, read] = kinds[round % kinds.length]!;
      const changed = bytes(mutated(structuredClone(document) as Json, source.below) ?? null);
      try {
        read(changed);
      } catch (error) {
        refused += 1;
        const isOurs = error instanceof InvalidManifestError || error instanceof UnsupportedMediaTypeError;
        if (!isOurs) throw new Error(`round ${round}: ${changed.toString().slice(0, 2000)}`, { cause: error });
      }
    }
    expect(refused).to.be.greaterThan(1000);
  });
});

const ODD: readonly Json[] = [null, true, 0, -1, 1.5, '', 'x', [], {}, [null], ['a', 5], { a: null }, { toString: 5 }];

/** Replaces, removes or adds a member somewhere in a document. */
function mutated(document: Json, below: (bound: number) => number): Json {
  if (typeof document !== 'object' || document === null || below(8) === 0) return ODD[below(ODD.length)]!;
  const names = Object.keys(document);
  const holder = document as { [name: string]: Json };
  const name = names[below(names.length || 1)];
  if (name === undefined) return ODD[below(ODD.length)]!;
  if (below(6) === 0 && !Array.isArray(document)) delete holder[name];
  else holder[name] = mutated(holder[name]!, below);
  return document;
}
