import { execFile, execFileSync } from 'node:child_process';
import { appendFile, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Pushed {
  readonly digest: string;
  readonly bytes: number;
  readonly layers: readonly { readonly digest: string; readonly size: number; readonly state: string }[];
}

/** What a differential layer has to carry. */
const EDITS = [
  'mkdir more; echo 1 >more/one; ln more/one more/two; ln -s /nowhere more/dangling; mkfifo more/pipe; mknod more/node c 1 3',
  'chown 1234:4321 more/one; chmod 4755 more/one; setfattr -n user.bytes -v 0x00ff more/one; setcap cap_net_raw+ep more/two',
  'chmod 1777 more; touch -h -d "2001-02-03 04:05:06.789012345" more/one more/dangling more/pipe more',
  'rm -r etc/ssl 2>/dev/null || true; mv srv served; echo file >srv; chmod 700 etc; touch "$(printf \'bad\\377name\')"',
];

describe('imgtool push', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let registry: DockerRegistry;
  let podman: Podman;
  let source: string;
  let pulledDigest: string;

  before(async () => {
    workspace = await makeWorkspace('push-e2e');
    ({ directory, root } = workspace);
    [registry, podman] = await Promise.all([startDockerRegistry(), makePodman()]);
    pulledDigest = await writeSmallImage(join(directory, 'layout'));
    source = `${registry.host}/base/small:1`;
    await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${source}`);
    await imgtool(root, 'pull', source);
  });
  after(async () => {
    await podman.remove();
    await registry.stop();
    await workspace.remove();
  });

  const pushJson = async (...args: string[]): Promise<Pushed> =>
    JSON.parse(await imgtool(root, 'push', '--json', ...args)) as Pushed;
  const remoteDigest = async (name: string): Promise<string> =>
    (await run('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${name}`])).trim();

  it('gives a pulled image the same digest elsewhere, its layers mounted', async () => {
    const target = `${registry.host}/other/small:copy`;
    const plan = await imgtool(root, 'push', source, target, '--plan');
    expect(plan).to.include('to mount').and.include('to upload');
    const pushed = await pushJson(source, target);
    expect(pushed.digest).to.equal(pulledDigest);
    expect(pushed.layers.map(({ state }) => state)).to.deep.equal(Array(pushed.layers.length).fill('mounted'));
    expect(await remoteDigest(target)).to.equal(pulledDigest);
  });

  it('sends what a commit has added, and podman makes the same tree of it', async () => {
    const container = await imgtool(root, 'create', source, '--name', 'changed');
    const files = await imgtool(root, 'mount', container);
    await appendFile(join(files, 'etc/passwd'), 'new:x:1001:1001::/:/bin/sh\n');
    await unlink(join(files, 'usr/bin/ping'));
    await mkdir(join(files, 'srv/added'), { mode: 0o750 });
    await writeFile(join(files, 'srv/added/file'), 'added\n');
    execFileSync('sh', ['-ec', EDITS.join('\n')], { cwd: files });
    const name = `${registry.host}/base/small:2`;
    await imgtool(root, 'commit', 'changed', name);
    await registry.forget();

    const digestfile = join(directory, 'digest');
    const pushed = await pushJson(name, '--tag', 'latest', '--digestfile', digestfile);
    expect(await readFile(digestfile, 'utf8')).to.equal(pushed.digest);
    const states = pushed.layers.map(({ state }) => state);
    expect(states).to.deep.equal([...Array<string>(states.length - 1).fill('present'), 'uploaded']);
    const requests = (await registry.requests()).map(({ method, uri }) => `${method} ${uri.replace(/\?.*/, '')}`);
    const heads = requests.filter((request) => request.startsWith('HEAD'));
    expect(new Set(heads).size).to.equal(heads.length);
    // A layer and a config, each begun and finished; the manifest under two tags.
    expect(requests.filter((request) => request.startsWith('POST'))).to.have.length(2);
    expect(requests.filter((request) => request.startsWith('PUT'))).to.have.length(4);
    for (const tag of ['2', 'latest'])
      expect(await remoteDigest(`${registry.host}/base/small:${tag}`)).to.equal(pushed.digest);

    const wanted = listTree(files, { withoutRoot: true });
    const mounted = await podman.mountImage(await podman.pull(name));
    expectSameTree(wanted, listTree(mounted, { withoutRoot: true }));
  });

  it('writes another format and compression that podman and imgtool take, the tree the same', async () => {
    const files = await imgtool(root, 'mount', await imgtool(root, 'create', source));
    const wanted = listTree(files, { withoutRoot: true });
    const targets = [
      ['as/docker', '--format', 'v2s2'],
      ['as/zstd', '--format', 'oci', '--compression', 'zstd:5'],
    ] as const;
    for (const [repository, ...flags] of targets) {
      const name = `${registry.host}/${repository}:1`;
      const plan = JSON.parse(await imgtool(root, 'push', source, name, ...flags, '--plan', '--json')) as Pushed;
      const pushed = await pushJson(source, name, ...flags);
      expect(pushed.digest).to.equal(plan.digest).and.not.equal(pulledDigest);
      expect(await remoteDigest(name)).to.equal(pushed.digest);
    }
    const other = join(directory, 'other');
    try {
      const again = await imgtool(
        other,
        'mount',
        await imgtool(other, 'create', await imgtool(other, 'pull', `${registry.host}/as/zstd:1`)),
      );
      expectSameTree(wanted, listTree(again, { withoutRoot: true }));

      // What is committed on a schema 2 image is one too.
      const name = `${registry.host}/as/docker`;
      const box = await imgtool(other, 'create', await imgtool(other, 'pull', `${name}:1`));
      const tree = await imgtool(other, 'mount', box);
      execFileSync('sh', ['-ec', 'rm srv/third; echo more >>etc/passwd'], { cwd: tree });
      await imgtool(other, 'commit', box, `${name}:2`);
      await imgtool(other, 'push', `${name}:2`);
      const text = await imgtool(other, 'manifest', 'get', `${name}:2`);
      expect(text)
        .to.match(/docker\.distribution\.manifest\.v2.*docker\.image\.rootfs/s)
        .and.not.contain('oci');
      const mounted = await podman.mountImage(await podman.pull(`${name}:2`));
      expectSameTree(listTree(tree, { withoutRoot: true }), listTree(mounted, { withoutRoot: true }));
    } finally {
      await run('umount', [other]).catch(() => undefined);
    }
  });

  it('repacks a layer of which no copy is left, and says that digests change', async () => {
    const tar = join(directory, 'root.tar');
    const files = await imgtool(root, 'mount', 'changed');
    await run('tar', ['-C', files, '--format=gnu', '-cf', tar, '.']);
    const id = await imgtool(root, 'import', tar, 'local/imported:1');
    const { layers } = JSON.parse(await imgtool(root, 'inspect', 'local/imported:1')) as Pushed;
    await unlink(join(root, 'blobs/sha256', layers[0]!.digest.slice('sha256:'.length)));
    const name = `${registry.host}/packed/anew:1`;
    const { stdout, stderr } = await promisify(execFile)(IMGTOOL, ['--root', root, 'push', 'local/imported:1', name]);
    expect(stdout.trim()).to.equal(await remoteDigest(name));
    expect(stderr).to.include(`no copy of layer ${layers[0]!.digest} is left; repacked from its files`).and.include(id);
    const mounted = await podman.mountImage(await podman.pull(name));
    const imported = await imgtool(root, 'mount', await imgtool(root, 'create', id));
    expectSameTree(listTree(imported, { withoutRoot: true }), listTree(mounted, { withoutRoot: true }));
  });

  it('packs a layer again that a registry was known to have and has lost', async () => {
    const tar = join(directory, 'lost.tar');
    await writeFile(join(directory, 'lost'), 'lost');
    await run('tar', ['-C', directory, '--format=gnu', '-cf', tar, 'lost']);
    await imgtool(root, 'import', tar, 'local/lost:1');
    const { layers } = await pushJson('local/lost:1', `${registry.host}/loses/layers:1`);
    const { digest } = layers[0]!;
    await unlink(join(root, 'blobs/sha256', digest.slice('sha256:'.length)));
    const gone = await fetch(`${registry.url}/v2/loses/layers/blobs/${digest}`, { method: 'DELETE' });
    expect(gone.status).to.equal(202);
    const name = `${registry.host}/finds/layers:1`;
    const { stdout, stderr } = await promisify(execFile)(IMGTOOL, ['--root', root, 'push', 'local/lost:1', name]);
    expect(stderr).to.include(`no copy of layer ${digest} is left; repacked from its files`);
    expect(stdout.trim()).to.equal(await remoteDigest(name));
  });

  it('prints the digest, and says where it cannot go', async () => {
    expect(await imgtool(root, 'push', source, `${registry.host}/plain/small:1`)).to.equal(pulledDigest);
    const fail = async (...args: string[]): Promise<{ code: number; stderr: string }> => {
      try {
        await promisify(execFile)(IMGTOOL, ['--root', root, '--progress', 'none', '--retry', '0', 'push', ...args]);
      } catch (error) {
        return error as { code: number; stderr: string };
      }
      throw new Error('a failure was expected');
    };
    expect((await fail('no/such:image')).code).to.equal(3);
    expect((await fail(source, '--tag', 'a/b')).code).to.equal(2);
    for (const bad of ['gzip:0', 'zstd:99', 'xz', 'gzip:']) {
      expect((await fail(source, '--compression', bad)).code, bad).to.equal(2);
    }
    expect((await fail(source, '--compression', 'zstd', '--format', 'v2s2')).code).to.equal(2);
    const refused = await fail(source, '127.0.0.1:1/x:1');
    expect(refused.code).to.equal(5);
    expect(refused.stderr).to.include('imgtool: ').and.include('hint: ');
  });
});
