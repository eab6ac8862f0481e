import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { NotFoundError, UsageError } from '../../../lib/errors.js';
import { recompressLayer } from '../../../lib/layer/index.js';
import { copy, type CopyOrder, type CopyResult } from '../../../lib/operations/index.js';
import { startRegistryServer, type RunningServer } from '../../../lib/server/index.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { rejection } from '../../helpers/rejection.js';
import { run } from '../../helpers/run.js';
import { scriptedSuite } from '../../helpers/scripted-suite.js';
import { skopeoCopy } from '../../helpers/skopeo.js';
import { writeTar } from '../../helpers/tar-writer.js';
import { V1Registry } from '../../helpers/v1-registry.js';

const never = new AbortController().signal;
const idOf = (name: string): string => createHash('sha256').update(name).digest('hex');
const tar = (name: string): Buffer => writeTar([{ path: name, content: Buffer.from(name.repeat(1000)) }]);

/** Bytes of JSON and layer of each image, by ID. */
function held({ images }: V1Registry): Map<string, readonly string[]> {
  const hex = (bytes: Buffer | undefined): string => bytes?.toString('hex') ?? '';
  return new Map([...images].map(([id, { json, layer }]) => [id, [hex(json), hex(layer)]]));
}

describe('operations/copy: registry protocol v1', () => {
  const suite = scriptedSuite();
  let directory: string;
  let spool: string;
  let modern: DockerRegistry;
  let both: RunningServer;
  let old: V1Registry;
  let target: V1Registry;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-copy-v1-'));
    spool = await mkdtemp(join(directory, 'spool-'));
    [modern, both] = await Promise.all([
      startDockerRegistry(),
      startRegistryServer({ dir: join(directory, 'served'), listen: { port: 0 } }),
    ]);
  });
  after(async () => {
    await Promise.all([modern.stop(), both.close()]);
    await rm(directory, { recursive: true });
  });
  beforeEach(async () => {
    [old, target] = await Promise.all([V1Registry.start(), V1Registry.start()]);
    old.add('team/app', '1', [
      { id: idOf('root'), layer: gzipSync(tar('root')), json: { created: '2014-01-01T00:00:00Z' } },
      { id: idOf('plain'), layer: tar('plain') },
      {
        id: idOf('leaf'),
        layer: gzipSync(tar('leaf'), { level: 1 }),
        json: { config: { Cmd: ['leaf'] }, odd: [1, 2] },
      },
    ]);
  });
  afterEach(async () => {
    for (const registry of [old, target]) await registry.close();
    for (const registry of [old, target]) registry.verify();
    expect(await readdir(spool)).to.deep.equal([]);
  });

  const served = (): string => new URL(both.url).host;
  const copyTo = (source: string, destination: string, more: Partial<CopyOrder> = {}): Promise<CopyResult> =>
    copy(
      {
        registry: suite.client(),
        progress: { event: () => undefined, note: () => undefined },
        parallel: 6,
        temporaryDirectory: spool,
        recompressLayer,
        openSource: () => Promise.reject(new Error('not used')),
        openDestination: () => Promise.reject(new Error('not used')),
      },
      {
        source,
        destinations: [destination],
        tags: [],
        selection: { kind: 'all' },
        ...{ preserveDigests: false, referrers: false, signal: never },
        ...more,
      },
    );
  const from = (registry: { readonly host: string }): string => `docker-v1://${registry.host}/team/app:1`;
  /** Has containers/storage unpack it, which checks diffIDs. */
  const unpack = async (reference: string): Promise<void> => {
    const storage = await mkdtemp(join(directory, 'storage-'));
    await skopeoCopy(`docker://${reference}`, `containers-storage:[vfs@${storage}/root+${storage}/run]judge:1`);
    await rm(storage, { recursive: true });
  };

  it('an image goes to an OCI registry and back: each layer keeps its bytes, each image its ID', async () => {
    const there = `${modern.host}/team/app:1`;
    const { digest } = await copyTo(from(old), there);
    await unpack(there);
    const config = await run('skopeo', ['inspect', '--config', '--tls-verify=false', `docker://${there}`]);
    expect((JSON.parse(config) as { config: object }).config).to.deep.equal({ Cmd: ['leaf'] });
    const back = await copyTo(there, from(target));
    expect(back.digest).to.equal(digest);
    expect(held(target)).to.deep.equal(held(old));
    expect(target.tags.get('team/app')?.get('1')).to.equal(idOf('leaf'));
  });

  it('from v1 to v1 nothing changes, and a second run sends no layer', async () => {
    const more = { tags: ['too'] };
    await copyTo(from(old), from(target), more);
    expect(held(target)).to.deep.equal(held(old));
    expect([...target.tags.get('team/app')!.keys()]).to.deep.equal(['1', 'too']);
    const sent = target.paths('PUT').filter((path) => path.endsWith('/layer')).length;
    await copyTo(from(old), from(target), more);
    expect(target.paths('PUT').filter((path) => path.endsWith('/layer'))).to.have.length(sent);
  });

  it('it is another form on the way when that is asked for', async () => {
    const there = `${modern.host}/team/app:zstd`;
    await copyTo(from(old), there, { conversion: { format: 'oci', compression: { kind: 'zstd' } } });
    expect(await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${there}`])).to.match(/tar\+zstd/);
    await unpack(there);
  });

  it('what came over v2 is copied over v1 from the embedded registry, with the IDs of Docker', async () => {
    await copyTo(from(old), `${served()}/team/app:1`);
    await copyTo(`docker-v1://${served()}/team/app:1`, from(target));
    expect([...target.images.keys()]).to.have.length(3);
    const layers = (registry: V1Registry): string[] => [...held(registry).values()].map(([, layer]) => layer!).sort();
    expect(layers(target)).to.deep.equal(layers(old));
    await copyTo(from(target), `docker-v1://${served()}/team/back:1`);
    await copyTo(`docker://${served()}/team/back:1`, `${modern.host}/team/back:1`);
    await unpack(`${modern.host}/team/back:1`);
  });

  it('says what is missing, and what v1 does not know', async () => {
    expect(await rejection(copyTo(`docker-v1://${old.host}/team/app:none`, from(target)))).to.be.instanceOf(
      NotFoundError,
    );
    const byDigest = `docker-v1://${old.host}/team/app@sha256:${idOf('x')}`;
    expect(await rejection(copyTo(byDigest, from(target)))).to.be.instanceOf(UsageError);
    old.images.get(idOf('plain'))!.layer = tar('another');
    const { message } = await rejection(copyTo(from(old), from(target)));
    expect(message).to.match(/checksum|layer/);
    expect(target.images.size).to.equal(0);
  });
});
