import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { imgtool, mountNew } from '../helpers/imgtool.js';
import { writeTar } from '../helpers/tar-writer.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { payloadOf } from '../helpers/v1-registry.js';
import { RegistryFixture } from '../server/registry-fixture.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('protocol v1: imgtool and its own registry, in token mode', () => {
  let registry: RegistryFixture;
  let workspace: Workspace;
  let root: string;
  before(async () => {
    workspace = await makeWorkspace('v1-serve');
    ({ root } = workspace);
    registry = await RegistryFixture.start({ v1Tokens: true });
  });
  after(async () => {
    await registry.stop();
    await workspace.remove();
  });

  it('an image that was pushed over v1 is pulled over both, and a commit on it goes back', async () => {
    const layers = [
      writeTar([
        { path: 'etc', type: 'dir' },
        { path: 'etc/one', content: 'one' },
        { path: 'gone', content: 'gone' },
      ]),
      writeTar([{ path: 'etc/two', content: 'two', mode: 0o600 }, { path: '.wh.gone' }]),
    ].map((tar) => gzipSync(tar));
    const ids = ['a', 'b'].map((char) => char.repeat(64));
    const put = async (path: string, body: Buffer | string, headers: Record<string, string>): Promise<string> => {
      const answer = await registry.send('PUT', `/v1/${path}`, { body, headers });
      expect(answer.status, path).to.equal(200);
      return String(answer.headers['x-docker-token']);
    };
    const list = JSON.stringify(ids.map((id) => ({ id })));
    const token = { authorization: await put('repositories/old/app/', list, { 'x-docker-token': 'true' }) };
    for (const [i, id] of ids.entries()) {
      const json = JSON.stringify({
        id,
        parent: ids[i - 1],
        os: 'linux',
        architecture: 'amd64',
        config: { Cmd: ['sh'] },
      });
      const sum = payloadOf(Buffer.from(json), layers[i]!);
      await put(`images/${id}/json`, json, token);
      await put(`images/${id}/layer`, layers[i]!, token);
      await put(`images/${id}/checksum`, '', { ...token, 'x-docker-checksum-payload': sum });
    }
    await put('repositories/old/app/tags/1', JSON.stringify(ids[1]), token);

    const name = `${registry.server.address}/old/app:1`;
    expect(await imgtool(root, 'tags', '--registry-version', '1', `${registry.server.address}/old/app`)).to.equal('1');
    const over1 = listTree(await mountNew(root, await imgtool(root, 'pull', '--registry-version', '1', name)));
    const over2 = listTree(await mountNew(root, await imgtool(root, 'pull', '--policy', 'always', name)));
    expectSameTree(over2, over1);
    expect([...over1.keys()]).to.deep.equal(['.', 'etc', 'etc/one', 'etc/two']);
    // A commit goes back over v1, on top of what is there.
    const container = await imgtool(root, 'create', name);
    await writeFile(join(await imgtool(root, 'mount', container), 'new'), 'new');
    const next = `${registry.server.address}/old/app:2`;
    await imgtool(root, 'commit', container, next);
    await imgtool(root, 'push', '--registry-version', '1', next);
    await imgtool(root, 'rmi', '-f', next);
    const committed = listTree(await mountNew(root, await imgtool(root, 'pull', next)));
    expect([...committed.keys()]).to.deep.equal(['.', 'etc', 'etc/one', 'etc/two', 'new']);
    // And back to v1: what was made over v2 is shown there too.
    await imgtool(root, 'push', name, `${registry.server.address}/new/app:1`);
    const again = await imgtool(root, 'pull', '--registry-version', '1', `${registry.server.address}/new/app:1`);
    expectSameTree(over2, listTree(await mountNew(root, again)));
  });
});
