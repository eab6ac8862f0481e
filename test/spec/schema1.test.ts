import { generateKeyPairSync, sign } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { InvalidManifestError } from '../../lib/errors.js';
import {
  buildSchema1,
  digestOf,
  EMPTY_LAYER,
  MEDIA_TYPE,
  manifestDigest,
  parseSchema1,
  renameSchema1,
  buildV1Config,
  signDocument,
  type DiffId,
  type Digest,
  type RawManifest,
} from '../../lib/spec/index.js';
import { makeSelfSigned } from '../helpers/self-signed.js';

const ids = ['a', 'b', 'c'].map((char) => char.repeat(64)) as [string, string, string];
const blobs = ['1', '2', '3'].map((char) => `sha256:${char.repeat(64)}`) as [string, string, string];

interface Entry {
  id?: unknown;
  parent?: unknown;
  [more: string]: unknown;
}

/** A manifest of three images, newest first; `change` spoils it. */
function manifest(change: (document: Record<string, unknown>, entries: Entry[]) => void = () => undefined): Buffer {
  const entries: Entry[] = [
    { id: ids[2], parent: ids[1], created: '2020-01-03T00:00:00Z', config: { Cmd: ['sh'] }, architecture: 'arm64' },
    { id: ids[1], parent: ids[0], container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ENV a=b'] }, throwaway: true },
    { id: ids[0], author: 'me', created: '2020-01-01T00:00:00Z', container_config: { Cmd: ['add a & b'] } },
  ];
  const document: Record<string, unknown> = {
    schemaVersion: 1,
    name: 'a/b',
    tag: '1',
    architecture: 'arm64',
    fsLayers: [blobs[2], blobs[1], blobs[0]].map((blobSum) => ({ blobSum })),
  };
  change(document, entries);
  document.history ??= entries.map((entry) => ({ v1Compatibility: JSON.stringify(entry) }));
  return Buffer.from(JSON.stringify(document, undefined, 3));
}

const parse = (bytes: Buffer, type: string = MEDIA_TYPE.dockerSchema1Signed): ReturnType<typeof parseSchema1> =>
  parseSchema1(bytes, type, 'it');

/** The signatures of a signed document, to spoil. */
function signaturesOf(bytes: Buffer): {
  header: { jwk?: Record<string, unknown>; alg: string; x5c?: string[] };
  signature: string;
  protected: string;
}[] {
  return (JSON.parse(bytes.toString()) as { signatures: never[] }).signatures;
}

function withSignatures(payload: Buffer, signatures: readonly object[]): Buffer {
  const end = payload.lastIndexOf('\n}');
  return Buffer.from(`${payload.toString('utf8', 0, end)},"signatures":${JSON.stringify(signatures)}}`);
}

describe('spec/schema1', () => {
  it('reads a signed manifest: oldest first, digest of the payload', () => {
    const payload = manifest();
    const got = parse(signDocument(payload));
    expect(got).to.include({ name: 'a/b', tag: '1', architecture: 'arm64', signed: true, digest: digestOf(payload) });
    expect(got.steps.map(({ id, blob, empty }) => [id, blob, empty])).to.deep.equal([
      [ids[0], blobs[0], false],
      [ids[1], blobs[1], true],
      [ids[2], blobs[2], false],
    ]);
    expect(manifestDigest(signDocument(payload), MEDIA_TYPE.dockerSchema1Signed)).to.equal(digestOf(payload));
    expect(signDocument(payload).equals(signDocument(payload)), 'a fresh key each time').to.equal(false);
  });

  it('reads an unsigned one only where it does not claim to be signed', () => {
    expect(parse(manifest(), MEDIA_TYPE.dockerSchema1)).to.include({ signed: false, digest: digestOf(manifest()) });
    expect(() => parse(manifest())).to.throw(InvalidManifestError, 'no signatures');
  });

  it('accepts RSA, certificates, several signatures, and any layout after the payload', async () => {
    const payload = manifest();
    const [first] = signaturesOf(signDocument(payload));
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const second = {
      header: { jwk: publicKey.export({ format: 'jwk' }), alg: 'RS256' },
      protected: first!.protected,
      signature: sign(
        'sha256',
        Buffer.from(`${first!.protected}.${payload.toString('base64url')}`),
        privateKey,
      ).toString('base64url'),
    };
    const { key, cert } = await makeSelfSigned();
    const third = {
      header: { x5c: [cert.replace(/-----.*-----|\n/g, '')], alg: 'ES256' },
      protected: first!.protected,
      signature: sign('sha256', Buffer.from(`${first!.protected}.${payload.toString('base64url')}`), {
        key,
        dsaEncoding: 'ieee-p1363',
      }).toString('base64url'),
    };
    expect(parse(withSignatures(payload, [first!, second, third])).digest).to.equal(digestOf(payload));
    const swapped = { ...third, signature: first!.signature };
    expect(() => parse(withSignatures(payload, [first!, second, swapped]))).to.throw(InvalidManifestError);
  });

  it('an old client’s repeated entries count once', () => {
    const got = parse(
      signDocument(
        manifest((document, entries) => {
          entries.splice(1, 0, entries[1]!);
          document.fsLayers = [blobs[2], blobs[1], blobs[1], blobs[0]].map((blobSum) => ({ blobSum }));
        }),
      ),
    );
    expect(got.steps.map(({ id }) => id)).to.deep.equal(ids);
  });

  it('gets another name: all else stays, signed by a fresh key; what is signed wrong gets no right signature', () => {
    const raw = (bytes: Buffer, mediaType: string = MEDIA_TYPE.dockerSchema1Signed): RawManifest => ({
      bytes,
      descriptor: { mediaType, digest: manifestDigest(bytes, mediaType), size: bytes.length },
    });
    const signed = raw(signDocument(manifest()));
    expect(renameSchema1(signed, { name: 'a/b', tag: '1' })).to.equal(signed);
    const to = { name: 'c', tag: 'x' };
    const renamed = renameSchema1(signed, to);
    const got = parse(renamed.bytes);
    expect(got).to.deep.equal({ ...parse(signed.bytes), ...to, digest: renamed.descriptor.digest });
    expect(got.digest).to.not.equal(signed.descriptor.digest);
    expect(renameSchema1(signed, to).descriptor.digest).to.equal(got.digest);
    const bare = raw(manifest(), MEDIA_TYPE.dockerSchema1);
    const named = renameSchema1(bare, { name: 'a/b', tag: '1' });
    expect(parse(named.bytes)).to.include({ signed: true, digest: bare.descriptor.digest });
    const forged = raw(Buffer.from(signDocument(manifest()).toString().replace('"a/b"', '"a/c"')));
    expect(() => renameSchema1(forged, to)).to.throw(InvalidManifestError);
  });

  it('what is outside the payload is not looked at', () => {
    const text = signDocument(manifest()).toString();
    const forged = Buffer.from(text.replace(/\n\}$/, ',"name":"evil","history":[]}'));
    expect(parse(forged)).to.include({ name: 'a/b' });
  });

  describe('refuses a signature', () => {
    const payload = manifest();
    const good = (): ReturnType<typeof signaturesOf>[0] => signaturesOf(signDocument(payload))[0]!;
    const cases: Record<string, () => Buffer> = {
      'over other content': () => Buffer.from(signDocument(payload).toString().replace('"a/b"', '"a/c"')),
      'of another key': () => withSignatures(payload, [{ ...good(), header: good().header }]),
      'with the key ID of another key': () => {
        const one = good();
        return withSignatures(payload, [
          { ...one, header: { ...one.header, jwk: { ...one.header.jwk, kid: 'AAAA:BBBB' } } },
        ]);
      },
      'without algorithm': () => withSignatures(payload, [{ ...good(), header: { ...good().header, alg: 'none' } }]),
      'that takes the key for a secret': () =>
        withSignatures(payload, [{ ...good(), header: { ...good().header, alg: 'HS256' } }]),
      'of an algorithm for other keys': () => {
        const one = good();
        return withSignatures(payload, [{ ...one, header: { ...one.header, alg: 'RS256' } }]);
      },
      'without key': () => withSignatures(payload, [{ ...good(), header: { alg: 'ES256' } }]),
      'with a point that is on no curve': () => {
        const one = good();
        return withSignatures(payload, [
          { ...one, header: { alg: 'ES256', jwk: { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' } } },
        ]);
      },
      'that covers more than there is': () => {
        const header = { formatLength: 1e6, formatTail: 'Cn0' };
        const protectedText = Buffer.from(JSON.stringify(header)).toString('base64url');
        return withSignatures(payload, [{ ...good(), protected: protectedText }]);
      },
      'when two cover different content': () => {
        const other = signaturesOf(signDocument(Buffer.from('{"a":1}')))[0]!;
        return withSignatures(payload, [good(), other]);
      },
      'in an empty list': () => withSignatures(payload, []),
      'that is no object': () => withSignatures(payload, ['x' as never]),
    };
    for (const [name, bytes] of Object.entries(cases))
      it(name, () => {
        expect(() => parse(bytes())).to.throw(InvalidManifestError);
      });
  });

  describe('refuses', () => {
    const cases: Record<string, Parameters<typeof manifest>[0]> = {
      'more layers than history': (document) => (document.fsLayers as object[]).push({ blobSum: blobs[0] }),
      'no layers': (document) => Object.assign(document, { fsLayers: [], history: [] }),
      'a parent that is not the next entry': (_document, entries) => (entries[0]!.parent = ids[0]),
      'a parent of the oldest': (_document, entries) => (entries[2]!.parent = ids[1]),
      'a missing parent': (_document, entries) => delete entries[1]!.parent,
      'a loop': (document, entries) => {
        entries[2]!.parent = ids[2];
        entries.push({ id: ids[2] });
        (document.fsLayers as object[]).push({ blobSum: blobs[0] });
      },
      'an ID that is a path (CVE-2014-9358)': (_document, entries) => {
        entries[2]!.id = '../../../../etc/passwd';
        entries[1]!.parent = '../../../../etc/passwd';
      },
      'a blobSum that is no digest': (document) =>
        (document.fsLayers = [blobs[2], `tarsum.v1+sha256:${'1'.repeat(64)}`, blobs[0]].map((blobSum) => ({
          blobSum,
        }))),
      'history that is no JSON': (document) => (document.history = [1, 2, 3].map(() => ({ v1Compatibility: '{' }))),
      'another schemaVersion': (document) => (document.schemaVersion = 2),
      'no name': (document) => delete document.name,
    };
    for (const [name, change] of Object.entries(cases))
      it(name, () => {
        expect(() => parse(signDocument(manifest(change)))).to.throw(InvalidManifestError);
      });
  });

  it('makes a config: the leaf’s, with layers and history', () => {
    const { steps } = parse(signDocument(manifest()));
    const diffIds = ['4', '5'].map((char) => `sha256:${char.repeat(64)}` as DiffId);
    const text = buildV1Config(
      steps.map(({ json }) => json),
      diffIds,
      { skipThrowaway: true },
    ).toString();
    expect(JSON.parse(text)).to.deep.equal({
      architecture: 'arm64',
      config: { Cmd: ['sh'] },
      created: '2020-01-03T00:00:00Z',
      history: [
        { created: '2020-01-01T00:00:00Z', author: 'me', created_by: 'add a & b' },
        { created_by: '/bin/sh -c #(nop) ENV a=b', empty_layer: true },
        { created: '2020-01-03T00:00:00Z' },
      ],
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
  });

  describe('building', () => {
    const diffIds = ['1', '2'].map((char) => `sha256:${char.repeat(64)}`);
    const layers = ['3', '4'].map((char) => `sha256:${char.repeat(64)}` as Digest);
    const history = [{ created_by: 'a' }, { created_by: 'b', empty_layer: true }, { created_by: 'c' }];
    const configOf = (fields: object): Buffer =>
      Buffer.from(
        JSON.stringify({
          architecture: 'amd64',
          os: 'linux',
          rootfs: { type: 'layers', diff_ids: diffIds },
          ...fields,
        }),
      );
    const name = { name: 'a/b', tag: '1' };

    it('has the IDs of Docker’s builder', () => {
      const built = buildSchema1(configOf({ history }), layers, name);
      const { steps } = parse(built.bytes);
      const top = Buffer.from(`${'4'.repeat(64)} ${steps[1]!.id} ${configOf({ history })}`);
      expect(steps[2]!.id).to.equal(digestOf(top).slice('sha256:'.length));
      expect(steps.map(({ id }) => id).slice(0, 2)).to.deep.equal([
        '06a1e8e93f1a0dc75bf1a34fc1b419af9fe6c165ffb26aaeec21bddcb7dae78c',
        'd36ea6fba23f4d4fe4963f283ccf2f03cee460514ae573191a7677ebdeb3585b',
      ]);
      expect(steps.map(({ blob, empty }) => [blob, empty])).to.deep.equal([
        [layers[0], false],
        [digestOf(EMPTY_LAYER), true],
        [layers[1], false],
      ]);
      expect(digestOf(EMPTY_LAYER)).to.equal('sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4');
      expect([...gunzipSync(EMPTY_LAYER)]).to.deep.equal(Array(1024).fill(0));
    });

    it('and reading give config and history back', () => {
      const fields = { author: 'me', config: { Env: ['A=<&>'] }, created: '2020-01-01T00:00:00Z', variant: 'v2' };
      const { steps } = parse(buildSchema1(configOf({ ...fields, history }), layers, name).bytes);
      const config = JSON.parse(
        buildV1Config(
          steps.map(({ json }) => json),
          diffIds as DiffId[],
          { skipThrowaway: true },
        ).toString(),
      ) as { history: { created_by: string; empty_layer?: true }[] };
      expect(config).to.deep.include(fields);
      expect(config.history.map(({ created_by, empty_layer }) => [created_by, empty_layer])).to.deep.equal([
        ['a', undefined],
        ['b', true],
        ['c', undefined],
      ]);
    });

    it('makes up what a config without history does not tell', () => {
      for (const fields of [{}, { history: [] }, { history: [history[1]] }])
        expect(parse(buildSchema1(configOf(fields), layers, name).bytes).steps.map(({ blob }) => blob)).to.deep.equal(
          layers,
        );
      const empty = buildSchema1(configOf({ rootfs: { type: 'layers', diff_ids: [] } }), [], name);
      expect(parse(empty.bytes).steps.map(({ empty }) => empty)).to.deep.equal([true]);
    });
  });
});
