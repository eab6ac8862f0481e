import { expect } from 'chai';
import { NotFoundError, UnsupportedMediaTypeError } from '../../lib/errors.js';
import type { RepositoryReader } from '../../lib/registry/index.js';
import { digestOf, MEDIA_TYPE, type Descriptor, type Digest, type RawManifest } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { resolveImage } from '../../lib/operations/registry/index.js';

const { signal } = new AbortController();
const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };

/** An index may leave out for which platform an entry is: chosen as podman 4.3 and containerd choose. */
describe('operations: the manifest for a platform', () => {
  let documents: Map<Digest, RawManifest>;
  beforeEach(() => void (documents = new Map()));

  const add = (mediaType: string, fields: object): Descriptor => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }));
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    documents.set(descriptor.digest, { bytes, descriptor });
    return descriptor;
  };
  const image = (name: string, configType: string = MEDIA_TYPE.ociConfig, layers: unknown = []): Descriptor => {
    const config = { mediaType: configType, digest: digestOf(name), size: name.length };
    return add(MEDIA_TYPE.ociManifest, { config, layers });
  };
  const index = (...manifests: object[]): Descriptor => add(MEDIA_TYPE.ociIndex, { manifests });
  const resolved = async (top: { readonly digest: Digest }, platform = amd64): Promise<Digest> => {
    const reader = {
      repository: 'a/b',
      manifest: ({ digest }: { digest: Digest }) => Promise.resolve(documents.get(digest)!),
    } as unknown as RepositoryReader;
    const { raw } = await resolveImage(reader, { digest: top.digest }, { platform, signal });
    return raw.descriptor.digest;
  };

  it('is the entry without a platform beside others that do not fit', async () => {
    const [one, other] = [image('one'), image('other')];
    const top = index(one, { ...other, platform: arm64 });
    expect(await resolved(top)).to.equal(one.digest);
    expect(await resolved(top, arm64)).to.equal(other.digest);
    expect(await resolved(index({ ...one, platform: {} }))).to.equal(one.digest);
    expect(await resolved(index({ ...one, platform: null }, { ...other, platform: arm64 }))).to.equal(one.digest);
  });

  it('is looked for in each nested index without a platform', async () => {
    const [one, other] = [image('one'), image('other')];
    const inner = [index({ ...other, platform: arm64 }), index({ ...one, platform: amd64 })];
    const top = index({ ...image('v7'), platform: { ...arm64, architecture: 'arm' } }, ...inner);
    expect(await resolved(top)).to.equal(one.digest);
    expect(await resolved(top, arm64)).to.equal(other.digest);
  });

  it('is missing where nothing fits: what is offered is told, and nothing where nothing is', async () => {
    const one = image('one');
    const offers = await rejection(resolved(index({ ...one, platform: { ...arm64, variant: null } })));
    expect(offers).to.be.instanceOf(NotFoundError);
    expect((offers as NotFoundError).hint).to.equal('it offers linux/arm64; choose with --platform');
    for (const manifests of [null, []]) {
      const none = await rejection(resolved(add(MEDIA_TYPE.ociIndex, { manifests })));
      expect(none).to.be.instanceOf(NotFoundError);
      expect((none as NotFoundError).hint).to.equal(undefined);
    }
  });

  it('may have a config of a type of 2015 and 2016, and no layers', async () => {
    for (const type of ['', 'application/octet-stream', 'application/json', 'text/html; charset=utf-8']) {
      const one = image('one', type, null);
      expect(await resolved(one), type).to.equal(one.digest);
    }
    const chart = image('chart', 'application/vnd.cncf.helm.config.v1+json');
    expect(await rejection(resolved(chart))).to.be.instanceOf(UnsupportedMediaTypeError);
    const layers = [{ mediaType: 'application/json', digest: digestOf('x'), size: 1 }];
    const artifact = image('artifact', 'application/json', layers);
    expect(await rejection(resolved(artifact))).to.be.instanceOf(UnsupportedMediaTypeError);
  });
});
