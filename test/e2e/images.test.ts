import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { commandLine, type CommandOutcome } from '../helpers/command-line.js';
import { copyProgram, IMGTOOL, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { SMALL_IMAGE_TAG } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('imgtool on a store of its own', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let server: Served;
  let name: string;
  let home: string;

  before(async () => {
    workspace = await makeWorkspace('images');
    ({ directory, root } = workspace);
    home = join(directory, 'home');
    ({ server, name } = await workspace.serveSmallImage());
    await run('umoci', ['unpack', '--image', `${directory}/layout:${SMALL_IMAGE_TAG}`, join(directory, 'bundle')]);
  });

  after(() => workspace.remove());

  const imgtool = (...args: string[]): Promise<CommandOutcome> =>
    commandLine(args, {
      env: { ...process.env, XDG_CONFIG_HOME: home, IMGTOOL_ROOT: root, IMGTOOL_RETRY: '0' },
    });

  async function ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await imgtool(...args);
    expect(code, stderr).to.equal(0);
    return stdout.trim();
  }

  it('lists nothing, and makes nothing, before the first pull', async () => {
    expect(JSON.parse(await ok('images', '--json'))).to.deep.equal([]);
    expect(JSON.parse(await ok('ps', '--json'))).to.deep.equal([]);
    expect(await ok('pull', name, '--plan')).to.include('no store yet');
    expect(await readdir(directory)).to.not.include('root');
  });

  it('goes from pull to an empty store again', async () => {
    const id = await ok('pull', name);
    expect(id).to.match(/^sha256:[0-9a-f]{64}$/);
    const again = JSON.parse(await ok('pull', name, '--policy', 'newer', '--json')) as Record<string, unknown>;
    expect(again).to.include({ id, bytes: 0, requests: 1 });

    const [image] = JSON.parse(await ok('images', '--json')) as Record<string, unknown>[];
    expect(image)
      .to.include({ id, platform: image!.platform, size: image!.exclusiveSize })
      .and.deep.include({ names: [name] });
    expect(await ok('images', '-q')).to.equal(id);
    expect(await ok('images', 'nothing', '--json')).to.equal('[]');

    const raw = await ok('inspect', name, '--raw');
    expect(await ok('inspect', `docker://${name}`, '--raw')).to.equal(raw);
    const [local, remote] = [await ok('inspect', name), await ok('inspect', `docker://${name}`)].map(
      (text) => JSON.parse(text) as { id: string; layers: { diffId: string }[] },
    );
    expect(remote!.id).to.equal(id);
    expect(remote!.layers.map(({ diffId }) => diffId)).to.deep.equal(local!.layers.map(({ diffId }) => diffId));
    const steps = JSON.parse(await ok('history', name, '--json')) as { size: number }[];
    expect(steps.reduce((sum, { size }) => sum + size, 0)).to.equal(image!.size);

    const there = JSON.parse(await ok('history', `docker://${name}`, '--json')) as { digest: string; size: number }[];
    expect(there.map(({ digest }) => digest)).to.deep.equal(
      (JSON.parse(await ok('history', name, '--json')) as { digest: string }[]).map(({ digest }) => digest),
    );
    const branches = await ok('tree', `docker://${name}`);
    expect(branches).to.include('compressed').and.have.length.lessThan(1000);
    expect(branches.split('\n')).to.have.length(local!.layers.length + 1);

    const prefix = id.slice('sha256:'.length, 20);
    await ok('tag', prefix, 'local/second:x');
    const container = await ok('create', '--name', 'box', 'local/second:x');
    const files = await ok('mount', container.slice(0, 6));
    expectSameTree(
      listTree(join(directory, 'bundle/rootfs'), { withoutRoot: true }),
      listTree(files, { withoutRoot: true }),
    );
    const box = JSON.parse(await ok('inspect', 'box')) as Record<string, unknown>;
    expect(box).to.include({ id: container, image: id, path: files, running: false });
    expect((await imgtool('inspect', 'box', '--type', 'image')).code).to.equal(3);
    for (const verb of ['rm', 'commit', 'export']) {
      const { code, stderr } = await imgtool(verb, name);
      expect(code, stderr).to.equal(3);
      expect(stderr).to.include('it is an image').and.include(`imgtool create ${name}`);
    }
    const taken = await imgtool('create', '--name', 'box', name);
    expect(taken.code, taken.stderr).to.equal(3);

    expect(await ok('rmi', 'local/second:x')).to.equal('untagged docker.io/local/second:x');
    const used = await imgtool('rmi', name);
    expect(used.code).to.equal(3);
    expect(used.stderr)
      .to.include('box')
      .and.match(/\nhint: /);
    await ok('rmi', '-f', name);
    expect(await ok('images')).to.include('<none>');
    const digestName = await imgtool('tag', prefix, `local/third:x@sha256:${'a'.repeat(64)}`);
    expect(digestName.code, digestName.stderr).to.equal(2);
    const some = await imgtool('rm', 'nothing', 'box', 'box');
    expect([some.code, some.stdout]).to.deep.equal([3, 'box\n']);
    expect(some.stderr.match(/^imgtool: rm (nothing|box) failed: /gm)).to.have.lengthOf(2);
    const left = await imgtool('rmi', '--json', 'local/nothing:1', prefix, 'Bad//x');
    expect(left.code).to.equal(3);
    expect((JSON.parse(left.stdout) as { removed: boolean }[]).map(({ removed }) => removed)).to.deep.equal([true]);
    const told = left.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { error: { exitCode: number } });
    expect(told.map(({ error }) => error.exitCode)).to.deep.equal([3, 2]);
    const usage = JSON.parse(await ok('store', 'df', '--json')) as Record<string, { count: number }>;
    expect([usage.layers!.count, usage.blobs!.count, usage.containers, usage.images]).to.deep.equal([0, 0, 0, []]);
    for (const place of ['layers', 'containers', 'work', 'trash', 'images', 'blobs/sha256'])
      expect(await readdir(join(root, place)), place).to.deep.equal([]);
  });

  it('asks registries for tags and digests', async () => {
    expect(await ok('tags', `${server.host}/some/small`)).to.equal('1');
    const raw = JSON.parse(await readFile(join(directory, 'layout/index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(await ok('digest', name)).to.equal(raw.manifests[0]!.digest);
  });

  const bad: readonly { name: string; args: () => string[]; code: number }[] = [
    { name: 'an unknown host', args: () => ['pull', 'nohost.invalid/x'], code: 5 },
    { name: 'a refused connection', args: () => ['pull', '127.0.0.1:1/x'], code: 5 },
    { name: 'a tag that is not there', args: () => ['pull', `${server.host}/some/small:9`], code: 3 },
    { name: 'a digest that is not there', args: () => ['pull', `${name}@sha256:${'b'.repeat(64)}`], code: 3 },
    { name: 'no such platform', args: () => ['pull', name, '--platform', 'plan9/mips'], code: 3 },
    { name: 'a bad reference', args: () => ['pull', 'Bad//x'], code: 2 },
    { name: 'a URL', args: () => ['pull', `http://${name}`], code: 2 },
    { name: 'a store without a place', args: () => ['images', '--root', ''], code: 2 },
    { name: 'an image that is not here', args: () => ['history', 'nothing'], code: 3 },
    { name: 'a container that is not here', args: () => ['mount', 'nothing'], code: 3 },
  ];
  for (const entry of bad)
    it(`${entry.name} is one line, a hint and exit ${entry.code}`, async () => {
      const { code, stdout, stderr } = await imgtool(...entry.args(), '-q');
      expect(code, stderr).to.equal(entry.code);
      expect(stdout).to.equal('');
      expect(stderr).to.match(/^imgtool: .+ failed: .+\nhint: .+\n$/);
    });

  const others = [
    {
      name: 'what is not a registry',
      answer: ['text/html', '<p>hello'],
      code: 5,
      said: /does not answer as a registry/,
    },
    {
      name: 'a wrong digest',
      answer: ['application/vnd.oci.image.manifest.v1+json', '{"schemaVersion":2}'],
      code: 6,
      said: /came with digest/,
    },
  ] as const;
  for (const { name: what, answer, code: want, said } of others)
    it(`${what} is one line, a hint and exit ${want}`, async () => {
      const other = createServer((_, response) =>
        response.writeHead(200, { 'content-type': answer[0] }).end(answer[1]),
      );
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      try {
        const host = `127.0.0.1:${(other.address() as AddressInfo).port}`;
        const { code, stderr } = await imgtool('pull', `${host}/x@sha256:${'a'.repeat(64)}`, '-q');
        expect(code, stderr).to.equal(want);
        expect(stderr)
          .to.match(/^imgtool: .+ failed: .+\nhint: .+\n$/)
          .and.match(said);
      } finally {
        other.close();
      }
    });

  it('a store needs root rights, and says so', async () => {
    const { code, stderr } = await imgtoolAs('65534', 'pull', name);
    expect(code, stderr).to.equal(7);
    expect(stderr).to.match(/requires root\nhint: /);
  });

  it('Ctrl-C ends a pull that hangs with exit 9', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const asked = once(silent, 'request');
    const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const env = { ...process.env, XDG_CONFIG_HOME: home, IMGTOOL_ROOT: root };
    const child = spawn(IMGTOOL, ['pull', `${host}/x`], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    try {
      await asked;
      child.kill('SIGINT');
      expect(await once(child, 'close')).to.deep.equal([9, null]);
      expect(stderr).to.match(/^imgtool: pull .+ failed: interrupted\nhint: /m);
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });

  it('output that a full disk has no room for is a failure', async () => {
    const script = `"${IMGTOOL}" --version >/dev/full; printf %s "$?"`;
    expect(await run('bash', ['-c', `${script} 2>&1`])).to.match(/^imgtool: .* standard output .*\nhint: .*\n8$|^8$/);
  });

  it('output into a closed pipe ends quietly, with the exit code of SIGPIPE', async () => {
    // The reader has closed the pipe long before the program has started.
    const script = `"${IMGTOOL}" --help | exec sleep 2 <&-; printf %s "\${PIPESTATUS[0]}"`;
    expect(await run('bash', ['-c', script])).to.equal('141');
  });

  /** Runs as another user. */
  async function imgtoolAs(user: string, ...args: string[]): Promise<CommandOutcome> {
    const place = await mkdtemp(join(tmpdir(), 'imgtool-program-'));
    const program = await copyProgram(place);
    const child = spawn('setpriv', ['--reuid', user, '--clear-groups', process.execPath, program, ...args], {
      env: { ...process.env, XDG_CONFIG_HOME: home, IMGTOOL_ROOT: join(directory, 'other') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = { stdout: '', stderr: '' };
    child.stdout.on('data', (data: Buffer) => (out.stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (out.stderr += data.toString()));
    const [code] = (await once(child, 'close')) as [number];
    await rm(place, { recursive: true });
    return { code, ...out };
  }
});
