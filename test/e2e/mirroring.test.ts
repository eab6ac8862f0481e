import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { digestsOf, putArtifact, putImage } from '../helpers/artifacts.js';
import { commandLine, type CommandOutcome } from '../helpers/command-line.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, startServe } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';

describe('imgtool copy, sync and what looks into registries', () => {
  let directory: string;
  let source: DockerRegistry;
  let target: DockerRegistry;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-mirror-'));
    [source, target] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  });
  after(async () => {
    await Promise.all([source.stop(), target.stop()]);
    await rm(directory, { recursive: true });
  });

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    // No store and nobody's own files.
    ...{ HOME: directory, XDG_CACHE_HOME: join(directory, 'cache'), XDG_STATE_HOME: join(directory, 'state') },
    ...{ XDG_CONFIG_HOME: join(directory, 'config'), IMGTOOL_ROOT: join(directory, 'no-store') },
  });
  const call = (...args: string[]): Promise<CommandOutcome> =>
    commandLine(['--progress', 'none', ...args], { env: environment(), encoding: 'latin1' });

  it('copies to two places without a store, and says which one failed', async () => {
    const { digest } = await putImage(source.url, 'cli/app', '1', { layers: ['one'] });
    const from = `${source.host}/cli/app:1`;
    const copied = await call('copy', from, `${target.host}/cli/a:1`, `${target.host}/cli/b:1`, '--json');
    expect(copied.code, copied.stderr).to.equal(0);
    const result = JSON.parse(copied.stdout) as {
      digest: string;
      layers: object[];
      requests: number;
      targets: object[];
    };
    expect(result.digest).to.equal(digest);
    expect(result.layers).to.have.length(2);
    expect(result.targets).to.have.length(2);
    expect((await call('copy', from, `${target.host}/cli/c:1`)).stdout).to.equal(`${digest}\n`);
    const partial = await call('copy', from, '127.0.0.1:1/x:1', `${target.host}/cli/d:1`, '--retry', '0');
    expect(partial.code).to.equal(10);
    expect(partial.stderr).to.include('1 of 2 destinations').and.include('127.0.0.1:1');
    expect((await digestsOf(target.url, 'cli/d')).get('1')).to.equal(digest);
  });

  it('reads short names by their aliases, and writes to none', async () => {
    const { digest } = await putImage(source.url, 'team/short', '1', { layers: ['one'] });
    const conf = join(directory, '.config/containers/registries.conf');
    await mkdir(dirname(conf), { recursive: true });
    await writeFile(conf, `[aliases]\n"short" = "${source.host}/team/short"\n`);
    try {
      expect((await call('digest', 'short:1')).stdout).to.equal(`${digest}\n`);
      expect((await call('tags', 'short')).stdout).to.equal('1\n');
      expect((await call('copy', 'short:1', `${target.host}/taken:1`)).stdout).to.equal(`${digest}\n`);
    } finally {
      await rm(conf);
    }
  });

  it('goes on where it was killed: what has arrived is not sent again', async () => {
    for (const tag of ['1', '2', '3'])
      await putImage(source.url, 'killed/app', tag, { layers: [tag, randomBytes(1_000_000)] });
    const proxy = await startCountingProxy(source.host, 20);
    try {
      const args = [
        'sync',
        `${proxy.host}/killed/app`,
        `${target.host}/killed/app`,
        '--parallel',
        '1',
        '--progress',
        'none',
      ];
      const child = spawn(IMGTOOL, args, { env: environment(), stdio: 'ignore' });
      const exit = once(child, 'exit');
      while (proxy.transfers.length < 4) await sleep(5);
      child.kill('SIGKILL');
      await exit;
      const begun = proxy.transfers.map(({ digest }) => digest);
      const whole = new Set(begun.slice(0, -1));
      proxy.transfers.length = 0;
      const again = await call(...args);
      expect(again.code, again.stderr).to.equal(0);
      expect(proxy.transfers.filter(({ digest }) => whole.has(digest))).to.deep.equal([]);
      expect(await digestsOf(target.url, 'killed/app')).to.deep.equal(await digestsOf(source.url, 'killed/app'));
    } finally {
      await proxy.close();
    }
  });

  it('says that targets are full, and goes on there when there is room', async () => {
    const disk = await mkdtemp(join(directory, 'full-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]);
    try {
      const [docker, serve] = await Promise.all([
        startDockerRegistry({ storage: join(disk, 'docker') }),
        startServe(join(disk, 'serve')),
      ]);
      try {
        for (const tag of ['1', '2', '3'])
          await putImage(source.url, 'full/app', tag, { layers: [tag, randomBytes(1_000_000)] });
        const targets = [docker.host, serve.host].map((host) => `${host}/full/app`);
        const args = ['sync', `${source.host}/full/app`, ...targets, '--parallel', '1', '--retry', '0', '--json'];
        const first = await call(...args, '--keep-going');
        expect(first.code, first.stderr).to.equal(10);
        const begun = JSON.parse(first.stdout) as { copied: number; bytes: number; tags: { error?: string }[] };
        expect(begun.copied).to.be.within(1, 5);
        const errors = begun.tags.flatMap(({ error }) => error ?? []).join('\n');
        expect(errors).to.match(/ 500 .*no space left|the disk of the registry is full/);
        await run('mount', ['-o', 'remount,size=16m', disk]);
        const second = await call(...args);
        expect(second.code, second.stderr).to.equal(0);
        const rest = JSON.parse(second.stdout) as { copied: number; upToDate: number; bytes: number };
        expect(rest.copied + rest.upToDate).to.equal(6);
        const want = await digestsOf(source.url, 'full/app');
        for (const { host } of [docker, serve])
          expect(await digestsOf(`http://${host}`, 'full/app'), host).to.deep.equal(want);
        // What had arrived is not sent again.
        const sent = (await docker.requests()).flatMap(({ method, uri, status }) =>
          method === 'PUT' && status === 201 ? (/digest=([^&]+)/.exec(uri)?.[1] ?? []) : [],
        );
        expect(sent).to.deep.equal([...new Set(sent)]);
        expect(begun.bytes + rest.bytes).to.be.within(6_000_000, 6_010_000);
      } finally {
        await Promise.all([docker.stop(), serve.stop()]);
      }
    } finally {
      await run('umount', [disk]);
    }
  });

  it('mirrors by a file, keeps what it removes, writes figures and exits with 10 when a part failed', async () => {
    await putImage(source.url, 'file/app', '1.0', { layers: ['x'] });
    await putImage(target.url, 'file/app', 'stray', { layers: ['stray'] });
    const { digest } = await putImage(target.url, 'file/app', 'stray', { layers: ['stray'] });
    const file = join(directory, 'mirrors.yaml');
    const text = `sync:
  - source: ${source.host}/file/app
    target: ${target.host}/file/app
    delete-extra: true
  - source: ${source.host}/file/absent
    target: ${target.host}/file/absent
`;
    await writeFile(file, text);
    const metrics = join(directory, 'metrics.prom');
    const plan = await call('sync', file, '--dry-run', '--keep-going');
    expect(plan.stdout, plan.stderr).to.include('to copy').and.include('to remove');
    const report = await call('sync', file, '--keep-going', '--metrics-file', metrics);
    expect(report.code, report.stderr).to.equal(10);
    expect(report.stdout).to.include('1 tags copied, 1 removed, 0 up to date, 1 failed');
    expect(report.stderr).to.include('file/absent');
    expect(await readFile(metrics, 'utf8')).to.include(`imgtool_sync_tags_deleted{target="${target.host}"} 1\n`);
    expect(JSON.parse(await readFile(`${metrics}.json`, 'utf8'))).to.include({ copied: 1, deleted: 1, failed: 1 });
    const kept = await readFile(join(directory, 'state/imgtool/deleted-tags.ndjson'), 'utf8');
    const entry = JSON.parse(kept) as { tag: string; digest: string; manifest: string };
    expect(entry).to.include({ tag: 'stray', digest });
    const manifest = join(directory, 'manifest.json');
    await writeFile(manifest, Buffer.from(entry.manifest, 'base64'));
    expect((await call('manifest', 'put', `${target.host}/file/app:stray`, manifest)).stdout).to.equal(`${digest}\n`);

    await writeFile(file, text.replace('delete-extra', 'delete-exrta'));
    const bad = await call('sync', file);
    expect(bad.code).to.equal(2);
    expect(bad.stderr).to.include(`${file} line 4: sync[0].delete-exrta is not known here`);
    expect((await call('sync', `${source.host}/file/app`, '127.0.0.1:1/app', '--retry', '0')).code).to.equal(5);
  });

  it('does it again at times of cron, told in local time, until it is ended', async () => {
    await putImage(source.url, 'watch/app', '1', { layers: ['watch'] });
    const at = [`${source.host}/watch/app`, `${target.host}/watch/app`];
    const bad = await call('sync', ...at, '--watch', '61 * * * *');
    expect(bad.code).to.equal(2);
    expect(bad.stderr).to.include('Invalid value for minute: 61').and.include('hint: ');
    const watch = (pattern: string): { child: ChildProcess; text: { out: string; err: string } } => {
      const child = spawn(IMGTOOL, ['sync', ...at, '--watch', pattern], {
        env: { ...environment(), TZ: 'Asia/Kolkata' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const text = { out: '', err: '' };
      child.stdout.setEncoding('utf8').on('data', (data: string) => (text.out += data));
      child.stderr.setEncoding('utf8').on('data', (data: string) => (text.err += data));
      return { child, text };
    };
    const end = async (child: ChildProcess): Promise<number | null> => {
      const exit = once(child, 'close');
      child.kill('SIGTERM');
      await exit;
      return child.exitCode;
    };
    const [yearly, often] = [watch('30 12 1 1 *'), watch('* * * * * *')];
    while (!yearly.text.err.includes('\n') && yearly.child.exitCode === null) await sleep(20);
    expect(yearly.text.err).to.match(/next run at 20\d\d-01-01 12:3\d:\d\d GMT\+5:30\n$/);
    expect(await end(yearly.child), yearly.text.err).to.equal(0);
    while (!often.text.out.includes('1 up to date') && often.child.exitCode === null) await sleep(20);
    await end(often.child);
    expect(often.text.out).to.match(/^copied .*\n1 tags copied.*\n0 tags copied.* 1 up to date/);
  });

  it('lists, reads and removes what is at a registry', async () => {
    const image = await putImage(source.url, 'look/app', '1', { layers: ['look'] });
    await putImage(source.url, 'look/app', '2', { layers: ['look'], label: '1' });
    const at = `${source.host}/look/app`;
    expect((await call('catalog', source.host)).stdout.split('\n')).to.include('look/app');
    const raw = (await call('manifest', 'get', `${at}:1`)).stdout;
    expect(raw).to.have.length(image.size);
    const { layers } = JSON.parse(raw) as { layers: { digest: string }[] };
    expect((await call('blob', 'get', `${at}@${layers[0]!.digest}`)).stdout).to.equal('look');
    expect((await call('blob', 'head', `${at}@${layers[0]!.digest}`)).stdout).to.equal('4\n');
    expect((await call('blob', 'head', `${at}@sha256:${'0'.repeat(64)}`)).code).to.equal(3);
    const sbom = await putArtifact(source.url, 'look/app', { content: 'sbom', subject: image });
    const list = { mediaType: 'application/vnd.oci.image.index.v1+json', schemaVersion: 2, manifests: [sbom] };
    const index = join(directory, 'index.json');
    await writeFile(index, JSON.stringify(list));
    expect((await call('manifest', 'put', `${at}:${image.digest.replace(':', '-')}`, index)).code).to.equal(0);
    expect((await call('referrers', `${at}:1`)).stdout).to.include(sbom.digest);

    const plan = await call('delete', `${at}:1`, '--dry-run');
    expect(plan.stdout).to.equal(`${at}@${image.digest}\n${at}:1\n${at}:2\n`);
    expect(plan.stderr).to.include('2 loses its manifest too');
    expect((await call('delete', `${at}:1`, '--tag-only')).stdout).to.equal(`${at}:1\n`);
    expect((await digestsOf(source.url, 'look/app')).get('2')).to.equal(image.digest);
    expect((await call('delete', `${at}:2`)).stdout).to.include(`${at}:2\n`);
    expect((await call('digest', `${at}:2`)).code).to.equal(3);
  });
});
