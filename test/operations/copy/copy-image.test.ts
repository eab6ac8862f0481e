import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openArchiveDestination } from '../../../lib/archive/index.js';
import { DigestMismatchError, InvalidReferenceError, NotFoundError, UsageError } from '../../../lib/errors.js';
import { recompressLayer } from '../../../lib/layer/index.js';
import { copy, type CopyOrder, type CopyResult, type CopyTransports } from '../../../lib/operations/index.js';
import type { ProgressEvent } from '../../../lib/progress/index.js';
import type { RegistryClientOptions } from '../../../lib/registry/index.js';
import { digestHex, hostPlatform, parsePlatform, type Digest } from '../../../lib/spec/index.js';
import { putArtifact, putManifest } from '../../helpers/artifacts.js';
import { startCountingProxy } from '../../helpers/counting-proxy.js';
import { startCuttingProxy } from '../../helpers/cutting-proxy.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { writeOciLayout, type LayerTable } from '../../helpers/oci-layout.js';
import { rejection } from '../../helpers/rejection.js';
import { run } from '../../helpers/run.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';
import { skopeoCopy } from '../../helpers/skopeo.js';

const never = new AbortController().signal;
const MiB = 2 ** 20;

describe('operations/copy', () => {
  const suite = scriptedSuite();
  let directory: string;
  let from: DockerRegistry;
  let to: DockerRegistry;
  let other: DockerRegistry;
  let notes: string[];
  let events: ProgressEvent[];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-copy-'));
    [from, to, other] = await Promise.all([startDockerRegistry(), startDockerRegistry(), startDockerRegistry()]);
    const layer = (name: string, size: number): LayerTable => ({
      entries: [{ path: name, content: randomBytes(size) }],
    });
    const shared = layer('shared', 300_000);
    const image = (tag: string, architecture: string): Parameters<typeof writeOciLayout>[1][number] => ({
      tag,
      platform: { os: 'linux', architecture },
      layers: [shared, layer(architecture, 10_000)],
    });
    const layout = join(directory, 'layout');
    const { architecture } = hostPlatform();
    await writeOciLayout(layout, [
      { tag: 'single', layers: [shared, layer('single', 4.5 * MiB), layer('small', 10)] },
      ...[architecture, 's390x', 'riscv64'].map((name) => image('multi', name)),
    ]);
    await skopeoCopy(`oci:${layout}:single`, `docker://${from.host}/base/app:oci`);
    await skopeoCopy(`oci:${layout}:single`, `docker://${from.host}/base/app:v2s2`, '--format=v2s2');
    await skopeoCopy(`oci:${layout}:multi`, `docker://${from.host}/base/app:multi`, '--all');
  });
  after(async () => {
    await Promise.all([from, to, other].map((registry) => registry.stop()));
    await rm(directory, { recursive: true });
  });
  beforeEach(async () => {
    [notes, events] = [[], []];
    await Promise.all([from, to, other].map((registry) => registry.forget()));
  });

  const transports = (options: RegistryClientOptions = {}): CopyTransports => ({
    registry: suite.client(options),
    progress: { event: (event) => void events.push(event), note: (line) => void notes.push(line) },
    parallel: 6,
    temporaryDirectory: tmpdir(),
    recompressLayer,
    openSource: () => Promise.reject(new Error('not used')),
    openDestination: (name, { signal }) => {
      if (name.transport !== 'oci') throw new Error('not used');
      return openArchiveDestination({ name: name.path, format: 'oci-dir', path: name.path, tag: name.tag, signal });
    },
  });
  const copyTo = (source: string, destinations: string[], more: Partial<CopyOrder> = {}): Promise<CopyResult> =>
    copy(transports(), {
      source,
      destinations,
      tags: [],
      selection: { kind: 'all' },
      preserveDigests: false,
      referrers: false,
      signal: never,
      ...more,
    });
  /** The manifest byte for byte, as skopeo gets it. */
  const raw = (reference: string): Promise<string> =>
    run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  const kinds = async (registry: DockerRegistry): Promise<string[]> =>
    (await registry.requests()).map(({ method, uri }) => {
      const kind = /\/(blobs\/uploads|blobs|manifests|referrers)\//.exec(uri)?.[1] ?? uri;
      return `${method} ${kind}${/[?&]mount=/.test(uri) ? ' mount' : ''}`;
    });
  const count = (list: readonly string[], entry: string): number => list.filter((other) => other === entry).length;

  for (const tag of ['oci', 'v2s2', 'multi']) {
    it(`copies ${tag} byte for byte`, async () => {
      const target = `${to.host}/mirror/app:${tag}`;
      const result = await copyTo(`${from.host}/base/app:${tag}`, [target]);
      expect(await raw(target)).to.equal(await raw(`${from.host}/base/app:${tag}`));
      expect(result.targets).to.have.length(1);
    });
  }

  it('copies all that an image needs: skopeo can read it', async () => {
    const target = `${to.host}/whole/app:1`;
    await copyTo(`${from.host}/base/app:multi`, [target]);
    await skopeoCopy(`docker://${target}`, `dir:${join(directory, 'whole')}`, '--all');
  });

  it('asks little of a first copy, and two questions of a second one', async () => {
    const target = `${other.host}/first/app:1`;
    const first = await copyTo(`${from.host}/base/app:oci`, [target]);
    expect(first.layers.map(({ state }) => state)).to.deep.equal(Array(4).fill('uploaded'));
    const [read, written] = [await kinds(from), await kinds(other)];
    expect(read.sort()).to.deep.equal(['GET blobs', 'GET blobs', 'GET blobs', 'GET blobs', 'GET manifests']);
    expect(count(written, 'HEAD blobs')).to.equal(4);
    expect(count(written, 'POST blobs/uploads')).to.equal(4);
    expect(count(written, 'PUT blobs/uploads')).to.equal(4);
    expect(written.at(-1)).to.equal('PUT manifests');
    expect(first.requests).to.equal(read.length + written.length);
    await Promise.all([from.forget(), other.forget()]);
    const second = await copyTo(`${from.host}/base/app:oci`, [target]);
    expect(second.layers.map(({ state }) => state)).to.deep.equal(Array(4).fill('present'));
    expect(await kinds(from)).to.deep.equal(['GET manifests']);
    expect(await kinds(other)).to.deep.equal(['HEAD manifests', 'PUT manifests']);
  });

  it('mounts within one host, and sets further tags', async () => {
    const source = `${from.host}/base/app:multi`;
    const result = await copyTo(source, [`${from.host}/other/place:1`], { tags: ['2', 'latest'] });
    expect(new Set(result.layers.map(({ state }) => state))).to.deep.equal(new Set(['mounted']));
    expect(count(await kinds(from), 'GET blobs')).to.equal(0);
    for (const tag of ['1', '2', 'latest'])
      expect(await raw(`${from.host}/other/place:${tag}`)).to.equal(await raw(source));
    expect(events.filter(({ state }) => state === 'mounted')).to.have.length(result.layers.length);
  });

  it('reads each blob once for three destinations, two of them at one host', async () => {
    const targets = [`${to.host}/fan/a:1`, `${to.host}/fan/b:1`, `${other.host}/fan/c:1`];
    const source = `${from.host}/base/app:multi`;
    const result = await copyTo(source, targets);
    const reads = (await from.requests()).filter(({ method, uri }) => method === 'GET' && uri.includes('/blobs/'));
    expect(reads).to.have.length(7);
    expect(new Set(reads.map(({ uri }) => uri)).size).to.equal(7);
    for (const target of targets) expect(await raw(target)).to.equal(await raw(source));
    expect(new Set(result.targets[0]!.layers.map(({ state }) => state)).size).to.equal(1);
    expect(count(await kinds(to), 'POST blobs/uploads mount')).to.equal(7);
  });

  it('goes at the pace of the slower destination without piling up what the faster one has', async () => {
    const proxy = await startCountingProxy(from.host, 0);
    try {
      await copyTo(`${proxy.host}/base/app:oci`, [`${to.host}/slow/a:1`, `${other.host}/slow/b:1`]);
      const sent = new Map<string, number>();
      for (const { digest } of proxy.transfers) sent.set(digest, (sent.get(digest) ?? 0) + 1);
      expect([...sent.values()]).to.deep.equal(Array(sent.size).fill(1));
      expect(sent.size).to.equal(4);
    } finally {
      await proxy.close();
    }
  });

  it('goes on where the connection to a destination breaks, the other one undisturbed', async () => {
    const proxy = await startCuttingProxy(to.host, [200_000, 2_000_000]);
    try {
      const result = await copyTo(`${from.host}/base/app:oci`, [`${proxy.host}/cut/a:1`, `${other.host}/cut/b:1`]);
      expect(result.targets.every(({ error }) => error === undefined)).to.equal(true);
      expect(proxy.cuts).to.deep.equal([]);
      expect(await raw(`${to.host}/cut/a:1`)).to.equal(await raw(`${from.host}/base/app:oci`));
      expect(await raw(`${other.host}/cut/b:1`)).to.equal(await raw(`${from.host}/base/app:oci`));
    } finally {
      await proxy.close();
    }
  });

  it('tells of one destination that fails and serves the other', async () => {
    const gone = '127.0.0.1:1';
    const result = await copyTo(`${from.host}/base/app:v2s2`, [`${gone}/x:1`, `${to.host}/fails/b:1`]);
    expect(result.targets.map(({ error }) => error === undefined)).to.deep.equal([false, true]);
    expect(await raw(`${to.host}/fails/b:1`)).to.equal(await raw(`${from.host}/base/app:v2s2`));
  });

  it('sends nothing where another digest is expected', async () => {
    const expected = `sha256:${'0'.repeat(64)}`;
    const targets = [`${to.host}/expects/a:1@${expected}`, `${other.host}/expects/b:1`];
    const refusal = await rejection(copyTo(`${from.host}/base/app:oci`, targets));
    expect(refusal).to.be.instanceOf(InvalidReferenceError);
    expect(refusal.message).to.include(`not ${expected}`);
    expect([...(await kinds(to)), ...(await kinds(other))]).to.deep.equal([]);
    expect(await kinds(from)).to.deep.equal(['GET manifests']);
  });

  it('copies one platform of an index, or rewrites the index to some', async () => {
    const source = `${from.host}/base/app:multi`;
    const index = JSON.parse(await raw(source)) as { manifests: { digest: string; platform: object }[] };
    const s390x = parsePlatform('linux/s390x');
    const one = await copyTo(source, [`${to.host}/part/one:1`], { selection: { kind: 'one', platform: s390x } });
    expect(one.digest).to.equal(index.manifests[1]!.digest);
    expect(notes).to.deep.equal([]);
    const selection = { kind: 'platforms', platforms: [s390x, parsePlatform('linux/riscv64')] } as const;
    const some = await copyTo(source, [`${to.host}/part/some:1`], { selection });
    expect(notes.join()).to.include('rewritten').and.include(some.digest);
    const copied = JSON.parse(await raw(`${to.host}/part/some:1`)) as typeof index;
    expect(copied.manifests).to.deep.equal(index.manifests.slice(1));
    const strict = copyTo(source, [`${to.host}/part/no:1`], { selection, preserveDigests: true });
    expect(await rejection(strict)).to.be.instanceOf(UsageError);
    const absent = copyTo(source, [`${to.host}/part/no:1`], {
      selection: { kind: 'one', platform: parsePlatform('linux/mips64le') },
    });
    expect(await rejection(absent)).to.be.instanceOf(NotFoundError);
  });

  it('copies what refers to an image: referrers by tag, those of referrers, and what cosign keeps', async () => {
    const image = await copyTo(`${from.host}/base/app:oci`, [`${from.host}/signed/app:1`]);
    const { url } = from;
    const size = Buffer.byteLength(await raw(`${from.host}/signed/app:1`));
    const subject = { mediaType: image.mediaType, digest: image.digest, size };
    const index = 'application/vnd.oci.image.index.v1+json';
    const sbom = await putArtifact(url, 'signed/app', { content: 'sbom', subject });
    const signature = await putArtifact(url, 'signed/app', { content: 'signature of the sbom', subject: sbom });
    const tagOf = (digest: string): string => digest.replace(':', '-');
    const list = (manifests: object[]): { mediaType: string; schemaVersion: number; manifests: object[] } => ({
      ...{ schemaVersion: 2, mediaType: index, manifests },
    });
    await putManifest(url, 'signed/app', list([sbom]), tagOf(image.digest));
    await putManifest(url, 'signed/app', list([signature]), tagOf(sbom.digest));
    const cosign = `sha256-${digestHex(image.digest)}.sig`;
    await putArtifact(url, 'signed/app', { content: 'cosign', tag: cosign });

    await copyTo(`${from.host}/signed/app:1`, [`${to.host}/plain/app:1`]);
    expect((await rejection(raw(`${to.host}/plain/app:${cosign}`))).message).to.include('unknown');
    await copyTo(`${from.host}/signed/app:1`, [`${to.host}/signed/app:1`], { referrers: true });
    for (const tag of [tagOf(image.digest), tagOf(sbom.digest), cosign])
      expect(await raw(`${to.host}/signed/app:${tag}`)).to.equal(await raw(`${from.host}/signed/app:${tag}`));
    for (const digest of [sbom.digest, signature.digest])
      expect(await raw(`${to.host}/signed/app@${digest}`)).to.equal(await raw(`${from.host}/signed/app@${digest}`));

    // A format that it has already changes nothing.
    const more = { referrers: true, conversion: { format: 'oci' } } as const;
    await copyTo(`${from.host}/signed/app:1`, [`${to.host}/formed/app:1`], more);
    for (const tag of [tagOf(image.digest), cosign])
      expect(await raw(`${to.host}/formed/app:${tag}`)).to.equal(await raw(`${from.host}/signed/app:${tag}`));

    // What the target knows besides stays in its list.
    const own = await putArtifact(to.url, 'signed/app', { content: 'own', subject });
    await putManifest(to.url, 'signed/app', list([own]), tagOf(image.digest));
    await copyTo(`${from.host}/signed/app:1`, [`${to.host}/signed/app:1`], { referrers: true });
    const merged = JSON.parse(await raw(`${to.host}/signed/app:${tagOf(image.digest)}`)) as ReturnType<typeof list>;
    expect(merged.manifests).to.deep.equal([own, sbom]);
  });

  describe('without a tag, into a layout', () => {
    const index = async (name: string): Promise<object[]> =>
      (JSON.parse(await readFile(join(directory, name, 'index.json'), 'utf8')) as { manifests: object[] }).manifests;
    const digests = async (name: string): Promise<string[]> =>
      (await index(name)).map((entry) => (entry as { digest: string }).digest);

    it('the image is listed beside its signatures and referrers', async () => {
      const image = await copyTo(`${from.host}/base/app:oci`, [`${from.host}/listed/app:1`]);
      const size = Buffer.byteLength(await raw(`${from.host}/listed/app:1`));
      const subject = { mediaType: image.mediaType, digest: image.digest, size };
      const mediaType = 'application/vnd.oci.image.index.v1+json';
      const sbom = await putArtifact(from.url, 'listed/app', { content: 'sbom', subject });
      const list = { schemaVersion: 2, mediaType, manifests: [sbom] };
      await putManifest(from.url, 'listed/app', list, image.digest.replace(':', '-'));
      const cosign = `sha256-${digestHex(image.digest)}.sig`;
      await putArtifact(from.url, 'listed/app', { content: 'cosign', tag: cosign });

      const source = `${from.host}/listed/app@${image.digest}`;
      await copyTo(source, [`oci:${join(directory, 'signed')}`], { referrers: true });
      expect(await digests('signed'))
        .to.have.length(2)
        .and.include(image.digest);

      // The image itself is there: what is new is a referrer.
      await copyTo(source, [`oci:${join(directory, 'later')}`]);
      await copyTo(source, [`oci:${join(directory, 'later')}`], { referrers: true });
      expect(await digests('later'))
        .to.have.length(2)
        .and.include(image.digest);
      expect(await digests('later')).not.to.include(sbom.digest);
    });

    it('what a layout lacks of an index that it has is copied', async () => {
      const destination = `oci:${join(directory, 'sparse')}:all`;
      const source = `${from.host}/base/app:multi`;
      await copyTo(source, [destination]);
      const blobs = join(directory, 'sparse/blobs/sha256');
      const whole = (await readdir(blobs)).sort();
      const { manifests } = JSON.parse(await raw(source)) as { manifests: { digest: Digest }[] };
      const [first, second] = manifests.map(({ digest }) => join(blobs, digestHex(digest)));
      const { layers } = JSON.parse(await readFile(second!, 'utf8')) as { layers: { digest: Digest }[] };
      for (const path of [first!, join(blobs, digestHex(layers[1]!.digest))]) await unlink(path);
      await copyTo(source, [destination]);
      expect((await readdir(blobs)).sort()).to.deep.equal(whole);
    });

    it('the image is listed when its manifest is there and nothing says so', async () => {
      const source = `${from.host}/base/app:multi`;
      const multi = JSON.parse(await raw(source)) as { manifests: { digest: string }[] };
      await copyTo(source, [`oci:${join(directory, 'parts')}:all`]);
      await copyTo(`${from.host}/base/app@${multi.manifests[1]!.digest}`, [`oci:${join(directory, 'parts')}`]);
      expect((await digests('parts'))[1]).to.equal(multi.manifests[1]!.digest);
    });
  });

  it('never publishes a blob whose bytes are wrong', async () => {
    const manifest = JSON.parse(await raw(`${from.host}/base/app:oci`)) as { layers: { digest: Digest }[] };
    const { digest } = manifest.layers[1]!;
    const bytes = Buffer.from(await raw(`${from.host}/base/app:oci`));
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const sizes = JSON.parse(bytes.toString()) as {
      layers: { digest: string; size: number }[];
      config: { digest: string; size: number };
    };
    const liar = await suite.serve({
      method: 'GET',
      path: '/v2/app/manifests/1',
      reply: { body: bytes, headers: { 'content-type': mediaType } },
    });
    for (const blob of [...sizes.layers, sizes.config]) {
      const good = await (await fetch(`${from.url}/v2/base/app/blobs/${blob.digest}`)).arrayBuffer();
      const body = blob.digest === digest ? Buffer.alloc(blob.size) : Buffer.from(good);
      // The others may be given up, or never asked for, once the wrong one has come.
      liar.add({
        method: 'GET',
        path: `/v2/app/blobs/${blob.digest}`,
        reply: { body },
        optional: blob.digest !== digest,
      });
    }
    const failure = await rejection(copyTo(`${liar.host}/app:1`, [`${to.host}/liar/app:1`]));
    expect(failure).to.be.instanceOf(DigestMismatchError);
    expect(failure.message).to.include(digest);
    expect((await fetch(`${to.url}/v2/liar/app/blobs/${digest}`)).status).to.equal(404);
  });
});
