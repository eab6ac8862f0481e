import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { NotFoundError, UsageError } from '../../lib/errors.js';
import { makeIndex, type IndexOrder, type MadeIndex } from '../../lib/operations/index.js';
import { SILENT } from '../../lib/progress/index.js';
import { formatPlatform, parsePlatform, parseReference } from '../../lib/spec/index.js';
import { digestsOf, putBlob, putImage, putManifest } from '../helpers/artifacts.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';

const { signal } = new AbortController();
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

describe('operations: an index of images at registries', () => {
  const suite = scriptedSuite();
  let registry: DockerRegistry;
  before(async () => {
    registry = await startDockerRegistry();
  });
  after(() => registry.stop());

  const make = (target: string, sources: readonly string[], more: Partial<IndexOrder> = {}): Promise<MadeIndex> =>
    makeIndex(
      { registry: suite.client(), progress: SILENT, parallel: 4 },
      {
        target: parseReference(`${registry.host}/${target}`),
        sources: sources.map((source) => parseReference(`${registry.host}/${source}`)),
        ...{ keepExisting: false, annotations: {}, signal },
        ...more,
      },
    );
  const platforms = ({ manifests }: MadeIndex): string[] =>
    manifests.map(({ platform }) => (platform === undefined ? '-' : formatPlatform(platform)));
  /** An image for a platform, of Docker's types where `docker`. */
  async function put(repository: string, tag: string, architecture: string, docker = false): Promise<void> {
    const config = Buffer.from(
      JSON.stringify({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, config: {} }),
    );
    const type = (oci: string, other: string): string => `application/vnd.${docker ? `docker.${other}` : `oci.${oci}`}`;
    await putManifest(
      registry.url,
      repository,
      {
        mediaType: type('image.manifest.v1+json', 'distribution.manifest.v2+json'),
        ...{ schemaVersion: 2, layers: [] },
        config: {
          mediaType: type('image.config.v1+json', 'container.image.v1+json'),
          digest: await putBlob(registry.url, repository, config),
          size: config.length,
        },
      } as { mediaType: string },
      tag,
    );
  }

  it('names each image with the platform of its config, and skopeo finds both', async () => {
    await put('multi/app', '1-amd64', 'amd64');
    await put('multi/app', '1-arm64', 'arm64');
    const made = await make('multi/app:1', ['multi/app:1-amd64', 'multi/app:1-arm64'], { annotations: { a: 'b' } });
    expect(platforms(made)).to.deep.equal(['linux/amd64', 'linux/arm64']);
    expect(made.mediaType).to.equal(OCI_INDEX);
    const there = await digestsOf(registry.url, 'multi/app');
    expect(there.get('1')).to.equal(made.digest);
    for (const architecture of ['amd64', 'arm64']) {
      const args = ['--override-arch', architecture, 'inspect', '--tls-verify=false'];
      const text = execFileSync('skopeo', [
        ...args,
        '--format',
        '{{.Architecture}}',
        `docker://${registry.host}/multi/app:1`,
      ]);
      expect(String(text).trim()).to.equal(architecture);
    }
    const raw = await (
      await fetch(`${registry.url}/v2/multi/app/manifests/1`, { headers: { accept: OCI_INDEX } })
    ).json();
    expect(raw).to.deep.include({ annotations: { a: 'b' } });
  });

  it('adds to an index, in place of the same platform, and keeps the rest', async () => {
    await make('multi/app:2', ['multi/app:1']);
    await putImage(registry.url, 'multi/app', 'newer', { layers: ['new'] });
    await put('multi/app', 'riscv', 'riscv64');
    const made = await make('multi/app:2', ['multi/app:newer', 'multi/app:riscv'], { keepExisting: true });
    expect(platforms(made)).to.deep.equal(['linux/amd64', 'linux/arm64', 'linux/riscv64']);
    expect(made.manifests[0]!.digest).to.equal((await digestsOf(registry.url, 'multi/app')).get('newer'));
  });

  it('copies images of another repository first', async () => {
    await putImage(registry.url, 'else/where', '1', { layers: ['there'] });
    await make('multi/copied:1', ['else/where:1']);
    const directory = mkdtempSync(join(tmpdir(), 'imgtool-index-'));
    const from = `docker://${registry.host}/multi/copied:1`;
    execFileSync('skopeo', ['copy', '-q', '--src-tls-verify=false', '--all', from, `dir:${directory}`]);
    rmSync(directory, { recursive: true });
  });

  it('is a manifest list where every image is of Docker, and takes the platform that is given', async () => {
    await put('multi/docker', 'a', 'amd64', true);
    const sources = ['multi/docker:a'];
    const made = await make('multi/docker:list', sources, { platform: parsePlatform('linux/arm/v7') });
    expect(made.mediaType).to.equal(DOCKER_LIST);
    expect(platforms(made)).to.deep.equal(['linux/arm/v7']);
    const annotated = make('multi/docker:list', sources, { annotations: { a: 'b' } });
    expect(await rejection(annotated)).to.be.instanceOf(UsageError);
    expect((await make('multi/docker:oci', sources, { format: 'oci' })).mediaType).to.equal(OCI_INDEX);
  });

  it('refuses what cannot be', async () => {
    expect(await rejection(make('multi/app:3', ['multi/app:nothing']))).to.be.instanceOf(NotFoundError);
    expect((await rejection(make('multi/app:newer', ['multi/app:1'], { keepExisting: true }))).message).to.include(
      'is an image, not an index',
    );
    const { digest } = (await make('multi/app:4', ['multi/app:1'])) as { digest: string };
    expect((await rejection(make(`multi/app@${digest}`, ['multi/app:1']))).message).to.include('has no tag');
  });
});
