import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { NotFoundError, TransportError } from '../../lib/errors.js';
import { createRegistryClient, type RegistryClient } from '../../lib/registry/index.js';
import { digestOf, MEDIA_TYPE, type Descriptor, type Digest } from '../../lib/spec/index.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { rejection } from '../helpers/rejection.js';
import { makeSelfSigned } from '../helpers/self-signed.js';
import { skopeoCopy } from '../helpers/skopeo.js';

const { signal } = new AbortController();

describe('registry v2 with docker-registry', () => {
  let directory: string;
  let registry: DockerRegistry;
  let client: RegistryClient;
  let expected: Digest;
  const content = randomBytes(300_000);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-v2-'));
    registry = await startDockerRegistry();
    const layers = [{ entries: [{ path: 'file', content }] }];
    const digests = await writeOciLayout(join(directory, 'layout'), [{ tag: '1', layers }]);
    expected = digests.get('1') as Digest;
    for (const tag of ['1', '2', 'last'])
      await skopeoCopy(`oci:${directory}/layout:1`, `docker://${registry.host}/some/image:${tag}`);
    client = createRegistryClient();
  });
  after(async () => {
    await client.close();
    await registry.stop();
    await rm(directory, { recursive: true });
  });

  const open = () => client.open({ host: registry.host, repository: 'some/image' }, { signal });

  it('resolves by tag in one HEAD', async () => {
    await registry.forget();
    const descriptor = await (await open()).resolve({ tag: '1' }, { signal });
    expect(descriptor).to.deep.include({ digest: expected, mediaType: MEDIA_TYPE.ociManifest });
    expect((await registry.requests()).map(({ method, status }) => [method, status])).to.deep.equal([['HEAD', 200]]);
  });

  it('gives the manifest as it was pushed, and its blobs from any offset', async () => {
    const repository = await open();
    const { bytes, descriptor } = await repository.manifest({ digest: expected }, { signal });
    expect(digestOf(bytes)).to.equal(expected);
    expect(descriptor.size).to.equal(bytes.length);
    const { layers } = JSON.parse(bytes.toString()) as { layers: Descriptor[] };
    const blob = repository.blob(layers[0]!);
    const whole = await buffer((await blob.open({ signal })).body);
    expect(digestOf(whole)).to.equal(layers[0]!.digest);
    const { body, restarted } = await blob.open({ signal, offset: 250_000 });
    expect(restarted).to.equal(false);
    expect((await buffer(body)).equals(whole.subarray(250_000))).to.equal(true);
    const beyond = await blob.open({ signal, offset: whole.length });
    expect(beyond.restarted).to.equal(true);
    expect((await buffer(beyond.body)).equals(whole)).to.equal(true);
  });

  it('lists tags', async () => {
    const tags: string[] = [];
    for await (const tag of (await open()).tags({ signal })) tags.push(tag);
    expect(tags.sort()).to.deep.equal(['1', '2', 'last']);
  });

  it('tells what is not there', async () => {
    const repository = await open();
    const none = digestOf('none');
    const tries = [
      () => repository.resolve({ tag: 'none' }, { signal }),
      () => repository.manifest({ digest: none }, { signal }),
      () => repository.blob({ mediaType: 'x/y', digest: none, size: 1 }).open({ signal }),
    ];
    for (const attempt of tries) expect(await rejection(attempt())).to.be.instanceOf(NotFoundError);
    const other = await client.open({ host: registry.host, repository: 'no/such' }, { signal });
    const error = await rejection(other.tags({ signal })[Symbol.asyncIterator]().next());
    expect(error).to.be.instanceOf(NotFoundError).and.include({ kind: 'repository' });
  });

  it('speaks https on a loopback host once its certificate is trusted', async () => {
    const pair = await makeSelfSigned();
    const [key, certificate] = [join(directory, 'key'), join(directory, 'cert')];
    await writeFile(key, pair.key);
    await writeFile(certificate, pair.cert);
    const secure = await startDockerRegistry({
      storage: registry.storage,
      http: { tls: { key, certificate } },
    });
    const trusting = createRegistryClient({ tls: () => ({ ca: [pair.cert] }) });
    const careless = createRegistryClient({ tlsVerify: false });
    try {
      for (const one of [trusting, careless]) {
        const repository = await one.open({ host: secure.host, repository: 'some/image' }, { signal });
        expect((await repository.resolve({ tag: '1' }, { signal })).digest).to.equal(expected);
      }
      const strict = await client.open({ host: secure.host, repository: 'some/image' }, { signal });
      const error = await rejection(strict.resolve({ tag: '1' }, { signal }));
      expect(error).to.be.instanceOf(TransportError).and.include({ phase: 'tls' });
    } finally {
      await trusting.close();
      await careless.close();
      await secure.stop();
    }
  });
});
