import { Readable } from 'node:stream';
import { expect } from 'chai';
import { RegistryError } from '../../lib/errors.js';
import type { RepositoryWriter } from '../../lib/registry/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import type { Reply, ScriptedServer, Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { descriptorOf } from '../suites/content-store.js';

const { signal } = new AbortController();
const MiB = 2 ** 20;
const CHUNK = 64 * MiB;
const UPLOADS = '/v2/a/b/blobs/uploads/';

/** Registries that do not take a blob in the way that is tried first. */
describe('registry v2, an upload', () => {
  const suite = scriptedSuite();
  /** More than a chunk. */
  const large = Buffer.alloc(CHUNK + MiB, 'l');
  const small = Buffer.alloc(3 * MiB, 's');
  let server: ScriptedServer;

  async function writer(...steps: Step[]): Promise<RepositoryWriter> {
    server = await suite.serve(...steps);
    return suite.client({ retries: 0 }).openWriter({ host: server.host, repository: 'a/b' }, { signal });
  }
  const upload = (repository: RepositoryWriter, bytes: Buffer): Promise<void> => {
    const open = ({ offset }: { offset: number }): Promise<Readable> =>
      Promise.resolve(Readable.from([bytes.subarray(offset)], { objectMode: false }));
    return repository.uploadBlob({ descriptor: descriptorOf(bytes), open }, { signal });
  };
  const begin = (location: string): Step => ({
    method: 'POST',
    path: UPLOADS,
    reply: { status: 202, headers: { location } },
  });
  const range = (bytes: number): Record<string, string> => ({ range: `0-${bytes - 1}` });
  const patch = (path: string, contentRange: string | undefined, reply: Reply = { status: 202 }): Step => ({
    method: 'PATCH',
    path,
    expect: { 'content-range': contentRange },
    reply,
  });
  const put = (path: string, bytes: Buffer, length: number, reply: Reply = { status: 201 }): Step => ({
    method: 'PUT',
    path: `${path}?digest=${encodeURIComponent(digestOf(bytes))}`,
    expect: { 'content-length': String(length), 'content-range': undefined },
    reply,
  });
  const notThere = (bytes: Buffer): Step => ({
    method: 'HEAD',
    path: `/v2/a/b/blobs/${digestOf(bytes)}`,
    reply: { status: 404 },
  });
  const whole = (path: string, bytes: Buffer): Step[] => [begin(path), patch(path, undefined), put(path, bytes, 0)];
  const firstChunk = `0-${CHUNK - 1}`;
  const told = (code: string): string => `{"errors":[{"code":"${code}","message":"no"}]}`;

  const refusals: readonly (readonly [string, Reply])[] = [
    ['416 (Google Artifact Registry, GHCR)', { status: 416, body: told('UNSUPPORTED') }],
    ['400', { status: 400, body: told('BLOB_UPLOAD_INVALID') }],
    ['404', { status: 404, body: told('BLOB_UPLOAD_UNKNOWN') }],
    ['405 by the page of a proxy', { status: 405, headers: { 'content-type': 'text/html' }, body: '<html>' }],
  ];
  for (const [what, refusal] of refusals)
    it(`goes in one PATCH where chunks are answered ${what}, and the next one at once`, async () => {
      const repository = await writer(
        begin('/1'),
        patch('/1', firstChunk, refusal),
        ...whole('/2', large),
        ...whole('/3', large),
      );
      await upload(repository, large);
      await upload(repository, large);
      const bodies = server.requests.filter(({ path }) => path === '/2' || path === '/3').map(({ body }) => body);
      expect(bodies.map((body) => body.equals(large))).to.deep.equal([true, true]);
    });

  it('goes in one PATCH where the range does not advance (ECR)', async () => {
    const stuck: Reply = { status: 202, headers: range(CHUNK) };
    const repository = await writer(
      begin('/1'),
      patch('/1', firstChunk, stuck),
      patch('/1', `${CHUNK}-${large.length - 1}`, stuck),
      { method: 'DELETE', path: '/1', reply: { status: 204 } },
      begin('/2'),
      patch('/2', undefined, stuck),
      put('/2', large, 0),
    );
    await upload(repository, large);
  });

  it('goes in one PUT where PATCH is refused, and the next one at once', async () => {
    const repository = await writer(
      begin('/1'),
      patch('/1', firstChunk, { status: 405 }),
      begin('/2'),
      patch('/2', undefined, { status: 405 }),
      begin('/3'),
      put('/3', large, large.length),
      begin('/4'),
      put('/4', large, large.length),
    );
    await upload(repository, large);
    await upload(repository, large);
    expect(server.requests.at(-1)!.body.equals(large)).to.equal(true);
  });

  it('is begun once more in chunks when a session that had taken some is gone', async () => {
    const rest = `${CHUNK}-${large.length - 1}`;
    const repository = await writer(
      begin('/1'),
      patch('/1', firstChunk),
      patch('/1', rest, { status: 404, body: told('BLOB_UPLOAD_UNKNOWN') }),
      begin('/2'),
      patch('/2', firstChunk),
      patch('/2', rest),
      put('/2', large, 0),
    );
    await upload(repository, large);
  });

  it('of a small blob goes by PATCH where PUT with a body is answered 404 (Artifactory), PATCH answered 200', async () => {
    const taken: Reply = { status: 200 };
    const repository = await writer(
      begin('/1'),
      put('/1', small, small.length, { status: 404, body: told('BLOB_UNKNOWN') }),
      notThere(small),
      begin('/2'),
      patch('/2', undefined, taken),
      put('/2', small, 0),
      begin('/3'),
      patch('/3', undefined, taken),
      put('/3', small, 0),
    );
    await upload(repository, small);
    await upload(repository, small);
  });

  const tooLarge: Reply = { status: 413, headers: { 'content-type': 'text/html' }, body: '<html>413</html>' };

  it('of a small blob goes in chunks where PUT is answered 413 (nginx), and the next one at once', async () => {
    const chunks = (path: string): Step[] => [
      begin(path),
      ...[0, 1, 2].map((i) => patch(path, `${i * MiB}-${(i + 1) * MiB - 1}`)),
      put(path, small, 0),
    ];
    const repository = await writer(
      begin('/1'),
      put('/1', small, small.length, tooLarge),
      { method: 'GET', path: '/1', reply: { status: 204, headers: { range: '0-0' } } },
      { method: 'DELETE', path: '/1', reply: { status: 204 } },
      ...chunks('/2'),
      ...chunks('/3'),
    );
    await upload(repository, small);
    await upload(repository, small);
    // A body that is short enough still goes in one request.
    server.add(begin('/4'), put('/4', small.subarray(0, MiB), MiB));
    await upload(repository, small.subarray(0, MiB));
  });

  it('that is answered 413 however short its bodies are names the limit', async () => {
    const short = small.subarray(0, MiB);
    const repository = await writer(begin('/1'), put('/1', short, MiB, tooLarge));
    const error = await rejection(upload(repository, short));
    expect(error).to.be.instanceOf(RegistryError);
    expect(error.message).to.include('does not accept 1048576 bytes in one request (status 413)');
    expect(error.hint).to.include('client_max_body_size');
  });

  it('that is refused in every way says what the registry said, not that the repository is missing', async () => {
    const unknown: Reply = { status: 404, body: told('BLOB_UPLOAD_UNKNOWN') };
    const repository = await writer(
      begin('/1'),
      patch('/1', firstChunk, unknown),
      begin('/2'),
      patch('/2', undefined, unknown),
      begin('/3'),
      put('/3', large, large.length, unknown),
      notThere(large),
      begin('/4'),
      patch('/4', firstChunk, unknown),
    );
    const error = await rejection(upload(repository, large));
    expect(error).to.be.instanceOf(RegistryError).and.include({ status: 404 });
    expect(error.message).to.match(/answered 404 for a\/b@sha256:[0-9a-f]+: no$/);
  });
});
