import { execFile, execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('imgtool diff docker://', () => {
  let workspace: Workspace;
  let directory: string;
  let registry: DockerRegistry;
  let [here, fresh] = ['', ''];
  let name: (tag: string) => string;

  before(async () => {
    workspace = await makeWorkspace('diff');
    ({ directory } = workspace);
    [here, fresh] = [join(directory, 'here'), join(directory, 'fresh')];
    registry = await startDockerRegistry();
    name = (tag) => `${registry.host}/some/small:${tag}`;
    await writeSmallImage(join(directory, 'layout'));
    await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${name('1')}`);
    await imgtool(here, 'pull', name('1'));
    for (const [tag, script] of Object.entries(SCRIPTS)) {
      await imgtool(here, 'create', '--name', `box${tag}`, name('1'));
      execFileSync('sh', ['-ec', script], { cwd: await imgtool(here, 'mount', `box${tag}`) });
      await imgtool(here, 'commit', `box${tag}`, name(tag));
      await imgtool(here, 'push', name(tag));
    }
  });
  after(async () => {
    await registry.stop();
    await workspace.remove();
  });

  /** Something of every kind, in two layers on the same one. */
  const SCRIPTS = {
    2: 'echo new >srv/new; rm usr/bin/ping; chmod 700 etc; ln -s x etc/link; echo hello >"$(printf "odd\\nname")"',
    3: 'echo New >srv/new; rm -r etc; mkdir etc; echo x >etc/x; setfattr -n user.a -v b srv',
  };
  const diff = (root: string, ...args: string[]): Promise<string> => imgtool(root, 'diff', ...args);
  /** Digests of the blobs that were asked for. */
  const blobs = async (): Promise<string[]> =>
    (await registry.requests()).flatMap(({ uri }) => /\/blobs\/([^?]+)/.exec(uri)?.[1] ?? []);
  /** Everything in a store that commands could leave something in. */
  const contents = async (root: string): Promise<string[]> => {
    const places = ['blobs/sha256', 'ingest', 'layers', 'images', 'work', 'trash', 'containers'];
    const lists = places.map(async (place) => (await readdir(join(root, place))).map((entry) => `${place}/${entry}`));
    return (await Promise.all(lists)).flat().sort();
  };

  it('says the same as with both images here, in both directions, and leaves nothing', async () => {
    const want = await diff(here, name('3'), name('2'));
    const back = await diff(here, name('2'), name('3'));
    expect(want.split('\n')).to.include('D /etc/link').and.include('C /srv/new').and.include('A /etc/x');
    expect(want).to.include('odd\\x0aname');
    expect(await diff(here, 'box3', `docker://${name('2')}`)).to.equal(want);
    await imgtool(fresh, 'pull', name('2'));
    const before = await contents(fresh);
    expect(await diff(fresh, `docker://${name('3')}`, name('2'))).to.equal(want);
    expect(await diff(fresh, name('2'), `docker://${name('3')}`)).to.equal(back);
    expect(await contents(fresh)).to.deep.equal(before);
    const json = JSON.parse(await diff(fresh, `docker://${name('3')}`, name('2'), '--json')) as { path: string }[];
    expect(json).to.deep.equal(JSON.parse(await diff(here, name('3'), name('2'), '--json')));
  });

  it('fetches only layers that are not here', async () => {
    const layers = async (tag: string): Promise<string[]> => {
      const text = await imgtool(here, 'inspect', name(tag), '--json');
      return (JSON.parse(text) as { layers: { digest: string }[] }).layers.map(({ digest }) => digest);
    };
    const [two, three] = await Promise.all([layers('2'), layers('3')]);
    await registry.forget();
    await diff(fresh, `docker://${name('3')}`, name('2'));
    const fetched = await blobs();
    expect(two.filter((digest) => fetched.includes(digest))).to.deep.equal([]);
    expect(fetched.filter((digest) => digest === three.at(-1))).to.have.length(1);

    await registry.forget();
    expect(await diff(here, `docker://${name('2')}`, name('2'))).to.equal('');
    expect(await blobs()).to.have.length(1);
  });

  it('compares two images that are both elsewhere, common layers fetched once', async () => {
    const empty = join(directory, 'empty');
    try {
      await registry.forget();
      const got = await diff(empty, `docker://${name('3')}`, `docker://${name('2')}`);
      expect(got).to.equal(await diff(here, name('3'), name('2')));
      const fetched = await blobs();
      expect(new Set(fetched).size).to.equal(fetched.length);
      expect(await contents(empty)).to.deep.equal([]);
      expect(await diff(empty, `docker://${name('2')}`)).to.equal(await diff(here, name('2')));
    } finally {
      await run('umount', [empty]).catch(() => undefined);
    }
  });

  it('says what is not there', async () => {
    const failed = await promisify(execFile)(IMGTOOL, ['--root', here, 'diff', 'box2', `docker://${name('no')}`]).then(
      () => expect.fail('no failure'),
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed.code).to.equal(3);
    expect(failed.stderr).to.match(/^imgtool: .*small:no/m);
  });
});
