import { expect } from 'chai';
import { InvalidManifestError, UnsupportedMediaTypeError } from '../../lib/errors.js';
import { digestOf, MEDIA_TYPE, parseManifest, type ImageManifest } from '../../lib/spec/index.js';

const descriptor = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf('x'), size: 1 };
const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: descriptor, layers: [descriptor] };
const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [descriptor] };
const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

describe('parseManifest', () => {
  it('reads a manifest, an index, and documents without mediaType', () => {
    expect(parseManifest(bytes(manifest), MEDIA_TYPE.ociManifest, 'm').kind).to.equal('manifest');
    expect(parseManifest(bytes(index), '', 'm').kind).to.equal('index');
    const { mediaType: _, ...plain } = manifest;
    expect(parseManifest(bytes(plain), 'application/json', 'm').mediaType).to.equal(MEDIA_TYPE.ociManifest);
  });

  const bad = [
    { name: 'both an index and a manifest (CVE-2021-41190)', document: { ...manifest, manifests: [] }, type: '' },
    { name: 'a mediaType other than the Content-Type (CVE-2021-41190)', document: manifest, type: MEDIA_TYPE.ociIndex },
    {
      name: 'a negative size (CVE-2023-25153)',
      document: { ...manifest, config: { ...descriptor, size: -1 } },
      type: '',
    },
    { name: 'a huge size', document: { ...manifest, config: { ...descriptor, size: 1e300 } }, type: '' },
    {
      name: 'a digest that is a path',
      document: { ...manifest, layers: [{ ...descriptor, digest: 'sha256:../../x' }] },
      type: '',
    },
    { name: 'layers that are no list', document: { ...manifest, layers: {} }, type: '' },
    {
      name: 'too many layers',
      document: { ...manifest, layers: Array.from({ length: 2000 }, () => descriptor) },
      type: '',
    },
    { name: 'a list', document: [], type: '' },
    { name: 'schemaVersion 3', document: { ...manifest, schemaVersion: 3 }, type: '' },
  ];
  for (const { name, document, type } of bad) {
    it(`refuses ${name}`, () => expect(() => parseManifest(bytes(document), type, 'm')).to.throw(InvalidManifestError));
  }

  it('takes no bytes from a descriptor: its data need not be what the digest names (case 21)', () => {
    const config = { ...descriptor, data: Buffer.from('something else').toString('base64') };
    const parsed = parseManifest(bytes({ ...manifest, config }), '', 'm') as ImageManifest;
    expect(parsed.config).to.deep.equal(descriptor);
  });

  it('refuses over 4 MiB (CVE-2023-25153) and unknown types', () => {
    expect(() => parseManifest(Buffer.alloc(5 * 1024 * 1024, 32), '', 'm')).to.throw(InvalidManifestError, /limit/);
    expect(() => parseManifest(bytes({ ...manifest, mediaType: 'text/x' }), '', 'm')).to.throw(
      UnsupportedMediaTypeError,
    );
    expect(() => parseManifest(Buffer.from([0xff, 0xfe]), '', 'm')).to.throw(InvalidManifestError, /JSON/);
  });
});
