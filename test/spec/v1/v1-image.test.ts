import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { InvalidManifestError } from '../../../lib/errors.js';
import {
  beginPayloadChecksum,
  checkV1Chain,
  composeV1Images,
  digestFrom,
  digestOf,
  isLooseV1Id,
  isV1Id,
  parseAncestry,
  parseImageConfig,
  parseV1Image,
  buildV1Config,
  type DiffId,
} from '../../../lib/spec/index.js';

const id = (digit: string): string => digit.repeat(64);
const json = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const diff = (digit: string): DiffId => `sha256:${id(digit)}` as DiffId;

describe('spec/v1', () => {
  it('knows image IDs', () => {
    expect(isV1Id(id('a'))).to.equal(true);
    for (const bad of ['', id('A'), 'a'.repeat(63), '../'.repeat(21) + 'a', `${id('a')}\n`, 7]) {
      expect(isV1Id(bad), String(bad)).to.equal(false);
    }
    expect(isLooseV1Id('0123456789abcdef')).to.equal(true);
    expect(isLooseV1Id('0123456789abcdeg')).to.equal(false);
  });

  it('reads an image JSON, keeps its bytes and its unknown fields', () => {
    const bytes = Buffer.from(`{"id": "${id('b')}", "parent":"${id('a')}", "unheard": [1], "container_config": null}`);
    const image = parseV1Image(bytes, id('b'));
    expect(image.bytes.equals(bytes)).to.equal(true);
    expect([image.id, image.parent]).to.deep.equal([id('b'), id('a')]);
    expect(image.document).to.have.deep.property('unheard', [1]);
    expect(parseV1Image(json({ id: id('a'), parent: '' })).parent).to.equal(undefined);
  });

  for (const [what, document] of [
    ['no object', 'text'],
    ['no id', {}],
    ['an id that is not hex', { id: '../x' }],
    ['another id', { id: id('c') }],
    ['a parent that is not hex', { id: id('b'), parent: 'x' }],
    ['itself as parent', { id: id('b'), parent: id('b') }],
  ] as const) {
    it(`refuses an image JSON with ${what}`, () => {
      expect(() => parseV1Image(json(document), id('b'))).to.throw(InvalidManifestError);
    });
  }

  it('turns an ancestry root first', () => {
    expect(parseAncestry(json([id('c'), id('b'), id('a')]), id('c'))).to.deep.equal([id('a'), id('b'), id('c')]);
  });

  for (const [what, list] of [
    ['nothing', []],
    ['a loop', [id('c'), id('b'), id('c')]],
    ['an ID that is not hex', [id('c'), '../../etc']],
    ['another image first', [id('b'), id('c')]],
    ['no list', { id: id('c') }],
    ['too many', [id('c'), ...Array.from({ length: 1100 }, (_, i) => String(i).padStart(64, '0'))]],
  ] as const) {
    it(`refuses an ancestry of ${what}`, () => {
      expect(() => parseAncestry(json(list), id('c'))).to.throw(InvalidManifestError);
    });
  }

  it('checks parents against the ancestry', () => {
    const image = (own: string, parent?: string) => parseV1Image(json({ id: id(own), parent: parent && id(parent) }));
    checkV1Chain([image('a'), image('b', 'a'), image('c', 'b')]);
    expect(() => checkV1Chain([image('a'), image('b', 'c')])).to.throw(InvalidManifestError, /has the parent ccc/);
    expect(() => checkV1Chain([image('a', 'b'), image('c', 'a')])).to.throw(InvalidManifestError);
    expect(() => checkV1Chain([image('a'), image('b')])).to.throw(InvalidManifestError, /\(none\)/);
  });

  it('sums a payload over the JSON, a line end and the layer as sent', () => {
    const expected = `sha256:${createHash('sha256').update('{"id":1}\nLAYER').digest('hex')}`;
    const hash = beginPayloadChecksum(Buffer.from('{"id":1}')).update('LAY').update('ER');
    expect(digestFrom(hash)).to.equal(expected);
  });

  const config = json({
    architecture: 'amd64',
    config: { Env: ['B=1', 'A=2'], Cmd: null },
    created: '2020-01-01T00:00:00Z',
    history: [{ created_by: 'x' }, { created_by: 'y', empty_layer: true }],
    os: 'linux',
    'os.version': '1',
    'os.features': [],
    rootfs: { type: 'layers', diff_ids: [diff('1'), diff('2'), diff('3')] },
    unheard: { b: 1, a: 2 },
  });

  it('composes one image a layer of a modern one, named by ChainID, the top by the config', () => {
    const images = composeV1Images(config);
    const chain2 = '9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5';
    const top = digestOf(config).slice('sha256:'.length);
    expect(images.map((image) => image.id)).to.deep.equal([id('1'), chain2, top]);
    expect(images[0]!.bytes.toString()).to.equal(`{"id":"${id('1')}"}`);
    expect(images[1]!.bytes.toString()).to.equal(`{"id":"${chain2}","parent":"${id('1')}"}`);
    expect(images[2]!.bytes.toString()).to.equal(
      `{"architecture":"amd64","config":{"Cmd":null,"Env":["B=1","A=2"]},"created":"2020-01-01T00:00:00Z",` +
        `"id":"${top}","os":"linux","parent":"${chain2}","unheard":{"a":2,"b":1}}`,
    );
    checkV1Chain(images);
  });

  it('composes one image for a config without layers', () => {
    const empty = json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } });
    const images = composeV1Images(empty);
    expect(images.map((image) => image.id)).to.deep.equal([digestOf(empty).slice('sha256:'.length)]);
    expect(images[0]!.parent).to.equal(undefined);
  });

  it('seals a config of the leaf, with a history of all', () => {
    const sealed = buildV1Config(
      [
        { id: id('a'), created: '2014-01-01T00:00:00Z', container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ADD'] } },
        {
          id: id('b'),
          parent: id('a'),
          author: 'me',
          comment: 'why',
          created: '2014-01-02T00:00:00Z',
          container_config: { Cmd: null },
          architecture: 'amd64',
          os: 'linux',
          config: { Env: ['A=1'] },
          ...{ Size: 7, docker_version: '1.3', parent_id: 'x', layer_id: 'y', throwaway: true, unheard: 1 },
        },
      ],
      [diff('1'), diff('2')],
    );
    expect(sealed.toString()).to.equal(
      '{"architecture":"amd64","author":"me","comment":"why","config":{"Env":["A=1"]},"container_config":{"Cmd":null},' +
        '"created":"2014-01-02T00:00:00Z","docker_version":"1.3","history":[' +
        '{"created":"2014-01-01T00:00:00Z","created_by":"/bin/sh -c #(nop) ADD"},' +
        '{"author":"me","comment":"why","created":"2014-01-02T00:00:00Z"}],"os":"linux",' +
        `"rootfs":{"diff_ids":["${diff('1')}","${diff('2')}"],"type":"layers"},"unheard":1}`,
    );
    expect(parseImageConfig(sealed, 'sealed').rootfs.diff_ids).to.have.length(2);
  });

  it('marks throwaway images of schema1 as empty layers', () => {
    const images = [{ id: id('a') }, { id: id('b'), throwaway: true }];
    const { history } = parseImageConfig(buildV1Config(images, [diff('1')], { skipThrowaway: true }), 'sealed');
    expect(history).to.deep.equal([{}, { empty_layer: true }]);
  });
});
