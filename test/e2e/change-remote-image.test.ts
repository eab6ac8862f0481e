import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { makeNobody, type Nobody } from '../helpers/as-nobody.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { startRecordingProxy, type RecordingProxy } from '../helpers/recording-proxy.js';
import { run } from '../helpers/run.js';
import { smallImage, SMALL_IMAGE_TAG } from '../helpers/small-image.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { writeTar } from '../helpers/tar-writer.js';

const EPOCH = '1750000000';

describe('config, append, rebase and flatten without a store, as a user without rights', () => {
  let base: string;
  let root: string;
  let served: Served;
  let proxy: RecordingProxy;
  let nobody: Nobody;

  before(async () => {
    process.env.SOURCE_DATE_EPOCH = EPOCH;
    base = mkdtempSync(join(tmpdir(), 'imgtool-change-'));
    nobody = await makeNobody(base, { SOURCE_DATE_EPOCH: EPOCH });
    root = btrfsDirectory('change-remote');
    const layout = join(base, 'layout');
    const app = smallImage(await readFile('/bin/busybox'));
    const [lower, ...upper] = app.layers;
    const newer = { createdBy: 'newer', entries: [{ path: 'etc/release', content: '2' }] };
    const arm = { os: 'linux', architecture: 'arm64' };
    await writeOciLayout(layout, [
      { ...app, layers: [lower!, ...upper] },
      { ...app, platform: arm },
      { ...app, tag: 'old', layers: [lower!] },
      { ...app, tag: 'new', layers: [lower!, newer] },
    ]);
    served = await startServe(join(base, 'registry'));
    for (const [tag, name] of [
      [SMALL_IMAGE_TAG, 'app:1'],
      ['old', 'base:1'],
      ['new', 'base:2'],
    ])
      await imgtool(join(base, 'none'), 'copy', '--all', `oci:${layout}:${tag}`, `docker://${served.host}/${name}`);
    await skopeoCopy(`docker://${served.host}/app:1`, `docker://${served.host}/docker:1`, '--format=v2s2');
    proxy = await startRecordingProxy(served.host);
    const file = (path: string, content: string): Buffer => writeTar([{ path, content, uid: 3, gid: 4 }]);
    writeFileSync(join(base, 'one.tar.gz'), gzipSync(file('added/one', 'one')));
    writeFileSync(join(base, 'two.tar'), file('added/two', 'two'));
    execFileSync('xz', ['-k', join(base, 'two.tar')]);
    writeFileSync(join(base, 'wrong.tar'), 'no tar at all'.repeat(100));
    writeFileSync(
      join(base, 'outside.tar'),
      writeTar([
        { path: 'a', type: 'link', target: '/' },
        { path: '../../b', content: 'x' },
      ]),
    );
  });
  after(async () => {
    delete process.env.SOURCE_DATE_EPOCH;
    await proxy.close();
    await served.stop();
    await rm(base, { recursive: true, force: true });
  });

  const at = (name: string): string => `${proxy.host}/${name}`;
  /** Bytes of layers that were read from the registry. */
  const blobsRead = (): number =>
    proxy.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/')).length;

  const cases: readonly {
    readonly name: string;
    readonly from: string;
    readonly args: () => readonly string[];
    readonly command: string;
    /** Configs that are read. */
    readonly reads?: number;
    readonly bases?: readonly [old: string, now: string];
  }[] = [
    {
      ...{ name: 'config', from: 'app:1', command: 'config' },
      args: () => ['--change', 'ENV A=b', '-c', 'CMD ["serve"]', '-a', 'me', '-m', 'why', '--label', 'x=y'],
    },
    {
      ...{ name: 'config of an image in Docker’s format', from: 'docker:1', command: 'config' },
      args: () => ['--change', 'USER app'],
    },
    {
      ...{ name: 'append', from: 'app:1', command: 'append' },
      args: () => ['one.tar.gz', 'two.tar', 'two.tar.xz'].map((name) => join(base, name)),
    },
    {
      ...{ name: 'append to an image in Docker’s format', from: 'docker:1', command: 'append' },
      args: () => [join(base, 'two.tar')],
    },
    {
      ...{ name: 'rebase', from: 'app:1', command: 'rebase', reads: 3, bases: ['base:1', 'base:2'] },
      args: () => ['-c', 'ENV REBASED=1'],
    },
  ];
  for (const { name, from, args, command, reads = 1, bases } of cases)
    it(`${name}: the digest that a store gives, no layer read, layers mounted`, async () => {
      await imgtool(root, 'pull', at(from));
      for (const image of bases ?? []) await imgtool(root, 'pull', at(image));
      const target = `${command}-${from.split(':')[0]}`;
      const onto = (place: string): string[] =>
        bases === undefined ? [] : ['--from', place + at(bases[0]), '--onto', place + at(bases[1])];
      await imgtool(root, command, at(from), ...args(), ...onto(''), '-t', at(`${target}:store`));
      await imgtool(root, 'push', at(`${target}:store`));
      const expected = await imgtool(root, 'digest', `docker://${at(`${target}:store`)}`);
      proxy.requests.length = 0;
      const destination = `docker://${at(`fresh-${target}:1`)}`;
      const made = await nobody.imgtool(
        command,
        `docker://${at(from)}`,
        ...args(),
        ...onto('docker://'),
        '-t',
        destination,
        '--json',
      );
      expect([made.stderr, made.status]).to.deep.equal(['', 0]);
      const { digest, id, name: place } = JSON.parse(made.stdout) as { digest: string; id: string; name: string };
      expect(digest).to.equal(expected);
      expect(place).to.equal(destination);
      expect(blobsRead()).to.equal(reads);
      expect(await imgtool(root, 'digest', destination)).to.equal(expected);
      expect(existsSync(nobody.root)).to.equal(false);
      expect(nobody.leftovers()).to.deep.equal([]);
      expect(await run('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', destination])).to.equal(
        `${digest}\n`,
      );
      expect(await imgtool(btrfsDirectory('change-look'), 'pull', destination.replace('docker://', ''))).to.equal(id);
    });

  it('flatten: the digest that a store gives', async () => {
    // The tar has a file in a directory of which no layer tells.
    const whole = ['append', `docker://${at('app:1')}`, join(base, 'one.tar.gz'), '-t', `docker://${at('whole:1')}`];
    expect((await nobody.imgtool(...whole)).status).to.equal(0);
    await imgtool(root, 'pull', at('whole:1'));
    await imgtool(root, 'flatten', at('whole:1'), '-t', at('flat:store'));
    await imgtool(root, 'push', at('flat:store'));
    const made = await nobody.imgtool('flatten', `docker://${at('whole:1')}`, '-t', `docker://${at('flat:1')}`);
    expect([made.stderr, made.status]).to.deep.equal(['', 0]);
    const look = btrfsDirectory('change-look');
    const listOf = async (image: string): Promise<string> => {
      await imgtool(look, 'pull', image);
      const box = await imgtool(look, 'create', image);
      return run('find', ['.', '-printf', '%p %M %U %G %s %l %T@\n'], { cwd: await imgtool(look, 'mount', box) });
    };
    expect((await listOf(at('flat:1'))).split('\n').sort()).to.deep.equal(
      (await listOf(at('flat:store'))).split('\n').sort(),
    );
    expect(await imgtool(root, 'digest', `docker://${at('flat:1')}`)).to.equal(
      await imgtool(root, 'digest', `docker://${at('flat:store')}`),
    );
    expect(nobody.leftovers()).to.deep.equal([]);
  });

  it('reads and writes layouts and archives; of an index, takes the image for --platform', async () => {
    const [layout, archive] = [join(nobody.home, 'layout'), join(nobody.home, 'app.oci')];
    const change = ['--change', 'ENV A=1'];
    const ids: string[] = [];
    for (const [image, destination] of [
      [`docker://${at('app:1')}`, `oci:${layout}:v1`],
      [`docker://${at('app:1')}`, `oci-archive:${archive}:v1`],
    ]) {
      const made = await nobody.imgtool('config', image!, ...change, '-t', destination!);
      expect([made.stderr, made.status]).to.deep.equal(['', 0]);
      ids.push(made.stdout);
      const config = await run('skopeo', ['inspect', '--raw', '--config', destination!]);
      expect(`sha256:${createHash('sha256').update(config).digest('hex')}`).to.equal(made.stdout);
    }
    expect(ids[0]).to.equal(ids[1]);
    const again = await nobody.imgtool('config', `oci:${layout}:v1`, '--change', 'ENV B=2', '-t', `oci:${layout}:v2`);
    expect([again.stderr, again.status]).to.deep.equal(['', 0]);
    expect(await run('skopeo', ['inspect', '--config', `oci:${layout}:v2`]))
      .to.include('"A=1"')
      .and.include('"B=2"');
    const arm = await nobody.imgtool(
      'config',
      `docker://${at('app:1')}`,
      ...change,
      '--platform',
      'linux/arm64',
      '-t',
      `docker://${at('arm:1')}`,
    );
    expect([arm.stderr, arm.status]).to.deep.equal(['', 0]);
    expect(
      await run('skopeo', ['inspect', '--tls-verify=false', '--raw', '--config', `docker://${at('arm:1')}`]),
    ).to.include('"arm64"');
  });

  for (const [name, args, status, said] of [
    ['no place for the new image', ['config', 'docker://HOST/app:1', '-c', 'USER x'], 2, 'no destination is given'],
    [
      'a plain name for it',
      ['config', 'docker://HOST/app:1', '-c', 'USER x', '-t', 'HOST/x:1'],
      2,
      'no destination is given',
    ],
    [
      'an image of the store',
      ['config', 'HOST/app:1', '-c', 'USER x', '-t', 'docker://HOST/x:1'],
      2,
      'is an image of the store',
    ],
    ['an unknown image', ['config', 'docker://HOST/none:1', '-c', 'USER x', '-t', 'docker://HOST/x:1'], 3, 'none:1'],
    ['a wrong instruction', ['config', 'docker://HOST/app:1', '-c', 'USRE x', '-t', 'docker://HOST/x:1'], 2, 'USRE'],
    [
      'a file that is no tar',
      ['append', 'docker://HOST/app:1', 'BASE/wrong.tar', '-t', 'docker://HOST/x:1'],
      undefined,
      'wrong.tar',
    ],
    [
      'a tar with names outside',
      ['append', 'docker://HOST/app:1', 'BASE/outside.tar', '-t', 'docker://HOST/x:1'],
      undefined,
      '..',
    ],
    [
      'a base that is none',
      [
        'rebase',
        'docker://HOST/app:1',
        '--from',
        'docker://HOST/base:2',
        '--onto',
        'docker://HOST/base:1',
        '-t',
        'docker://HOST/x:1',
      ],
      2,
      'is not based on',
    ],
    [
      'no old base',
      ['rebase', 'docker://HOST/app:1', '--onto', 'docker://HOST/base:2', '-t', 'docker://HOST/x:1'],
      2,
      '--from',
    ],
  ] as const)
    it(`refuses ${name}`, async () => {
      const given = args.map((arg) => arg.replace('HOST', proxy.host).replace('BASE', base));
      const made = await nobody.imgtool(...given);
      expect(made.stderr).to.include(said);
      if (status !== undefined) expect(made.status).to.equal(status);
      expect(made.status).not.to.equal(0);
      expect(nobody.leftovers()).to.deep.equal([]);
      const tags = await nobody.imgtool('tags', at('x'));
      expect(tags.status, 'nothing is published').to.equal(3);
    });
});
