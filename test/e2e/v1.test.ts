import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { imgtool, mountNew, startServe, type Served } from '../helpers/imgtool.js';
import { run } from '../helpers/run.js';
import { writeSmallImage } from '../helpers/small-image.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('e2e: protocol v1', () => {
  let workspace: Workspace;
  let directory: string;
  let server: Served;
  before(async () => {
    workspace = await makeWorkspace('v1');
    ({ directory } = workspace);
    server = await startServe(join(directory, 'registry'));
  });
  after(async () => {
    await server.stop();
    await workspace.remove();
  });

  it('pull, commit and push of only the new image, pulled elsewhere by v1 and by v2', async () => {
    const base = btrfsDirectory('v1-e2e');
    const root = (name: string): string => join(base, name);
    await writeSmallImage(join(directory, 'small'));
    const source = `${server.host}/team/app:1`;
    await run('skopeo', [
      'copy',
      '-q',
      '--dest-tls-verify=false',
      `oci:${join(directory, 'small')}:1`,
      `docker://${source}`,
    ]);

    await imgtool(root('a'), 'pull', `docker-v1://${source}`);
    const container = await imgtool(root('a'), 'create', source);
    await writeFile(join(await imgtool(root('a'), 'mount', container), 'srv/new'), 'new\n');
    const target = `${server.host}/team/app:2`;
    await imgtool(root('a'), 'commit', container, target);
    const pushed = JSON.parse(await imgtool(root('a'), 'push', '--format', 'v1', '--json', target)) as {
      layers: { state: string }[];
    };
    const states = pushed.layers.map(({ state }) => state);
    expect(states.pop()).to.equal('uploaded');
    expect([...new Set(states)]).to.deep.equal(['present']);

    const tags = await imgtool(root('a'), 'tags', '--registry-version', '1', `${server.host}/team/app`);
    expect(tags.split('\n').sort()).to.deep.equal(['1', '2']);
    const before = listTree(await imgtool(root('a'), 'mount', container));
    for (const [name, reference] of [
      ['b', `docker-v1://${target}`],
      ['c', `docker://${target}`],
    ] as const) {
      await imgtool(root(name), 'pull', reference);
      expectSameTree(before, listTree(await mountNew(root(name), target)));
    }
  });
});
