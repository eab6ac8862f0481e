import { expect } from 'chai';
import { deleteRemoteManifest, resolveDigest } from '../../lib/operations/index.js';
import { digestOf, MEDIA_TYPE } from '../../lib/spec/index.js';
import type { Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';

const { signal } = new AbortController();

describe('operations: manifests removed at a registry', () => {
  const suite = scriptedSuite();
  const [now, stale] = [Buffer.from('{"now":1}'), Buffer.from('{"stale":1}')];
  const tagged = (path: string, body: Buffer, times: number): Step => ({
    ...{ method: 'HEAD', path: `${path}/manifests/1`, times },
    reply: { body, headers: { 'content-type': MEDIA_TYPE.ociManifest, 'docker-content-digest': digestOf(body) } },
  });

  it('are those the registry has, whatever a mirror of it says', async () => {
    const mirror = await suite.serve();
    const origin = await suite.serve(
      tagged('/v2/app', now, 2),
      { method: 'GET', path: '/v2/app/tags/list?n=1000', reply: { body: '{"tags":["1"]}' } },
      { method: 'DELETE', path: `/v2/app/manifests/${digestOf(now)}`, reply: { status: 202 } },
    );
    const registry = suite.client({
      sources: (host, repository) => [
        { host: mirror.host, repository },
        { host, repository },
      ],
    });
    const reference = { host: origin.host, repository: 'app', tag: '1' };
    const removed = await deleteRemoteManifest({ registry }, reference, { tagOnly: false, dryRun: false, signal });
    expect(removed).to.deep.equal({ digest: digestOf(now), tags: ['1'] });
    // Elsewhere the mirror is asked.
    mirror.add(tagged('/v2/app', stale, 1));
    const reader = await registry.open(reference, { signal });
    expect((await reader.resolve({ tag: '1' }, { signal })).digest).to.equal(digestOf(stale));
  });
});

describe('operations: the digest of a tag', () => {
  const suite = scriptedSuite();

  it('is that of the bytes where the registry tells one that it does not have itself', async () => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] }));
    const lie = digestOf('other');
    const reply = { body: bytes, headers: { 'content-type': MEDIA_TYPE.ociIndex, 'docker-content-digest': lie } };
    const server = await suite.serve(
      { method: 'HEAD', path: '/v2/app/manifests/1', reply },
      { method: 'HEAD', path: `/v2/app/manifests/${lie}`, reply: { status: 404 } },
      { method: 'GET', path: '/v2/app/manifests/1', times: 2, reply },
    );
    const warnings: string[] = [];
    const registry = suite.client({ warn: (line) => void warnings.push(line) });
    const reference = { host: server.host, repository: 'app', tag: '1' };
    expect((await resolveDigest({ registry }, reference, { signal })).digest).to.equal(digestOf(bytes));
    expect(warnings).to.have.length(1);
  });
});
