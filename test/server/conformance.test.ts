import { expect } from 'chai';
import { digestOf, MEDIA_TYPE, type Descriptor, type Digest } from '../../lib/spec/index.js';
import { errorCode, manifestOf, RegistryFixture } from './registry-fixture.js';

const UNKNOWN = digestOf('nobody has this');

describe('server: the four workflows of distribution-spec 1.1', () => {
  let registry: RegistryFixture;
  before(async () => {
    registry = await RegistryFixture.start();
  });
  after(() => registry.stop());

  const json = (body: Buffer): Record<string, unknown> => JSON.parse(body.toString()) as Record<string, unknown>;

  it('answers the version check', async () => {
    const answer = await registry.send('GET', '/v2/');
    expect(answer.status).to.equal(200);
    expect(answer.headers['docker-distribution-api-version']).to.equal('registry/2.0');
  });

  describe('pull', () => {
    let image: { digest: Digest; bytes: Buffer };
    const blob = Buffer.from('pull me, in parts if you like');
    before(async () => {
      image = await registry.pushImage('flow/pull', 'v1', 'pull');
      await registry.pushBlob('flow/pull', blob);
    });

    it('gives a manifest by tag and by digest, byte for byte, HEAD alike', async () => {
      for (const reference of ['v1', image.digest]) {
        const got = await registry.send('GET', `/v2/flow/pull/manifests/${reference}`);
        expect(got.status).to.equal(200);
        expect(got.body.equals(image.bytes)).to.equal(true);
        const head = await registry.send('HEAD', `/v2/flow/pull/manifests/${reference}`);
        for (const answer of [got, head]) {
          expect(answer.headers['docker-content-digest']).to.equal(image.digest);
          expect(answer.headers['content-type']).to.equal(MEDIA_TYPE.ociManifest);
          expect(answer.headers['content-length']).to.equal(String(image.bytes.length));
        }
        expect(head.body.length).to.equal(0);
      }
    });

    it('keeps the type a manifest without mediaType was pushed as', async () => {
      const { mediaType: _, ...fields } = json(image.bytes);
      const bytes = Buffer.from(JSON.stringify(fields));
      expect((await registry.putManifest('flow/pull', 'untyped', bytes)).status).to.equal(201);
      const got = await registry.send('GET', '/v2/flow/pull/manifests/untyped');
      expect(got.headers['content-type']).to.equal(MEDIA_TYPE.ociManifest);
      expect(got.body.equals(bytes)).to.equal(true);
    });

    it('answers If-None-Match with 304', async () => {
      for (const path of [`manifests/v1`, `blobs/${digestOf(blob)}`]) {
        const { headers } = await registry.send('HEAD', `/v2/flow/pull/${path}`);
        const again = await registry.send('GET', `/v2/flow/pull/${path}`, {
          headers: { 'if-none-match': `"other", W/${headers.etag}` },
        });
        expect(again.status).to.equal(304);
        expect(again.body.length).to.equal(0);
      }
    });

    const ranges: { range: string; status: number; want?: string; ifRange?: string }[] = [
      { range: 'bytes=0-3', status: 206, want: 'pull' },
      { range: 'bytes=5-', status: 206, want: 'me, in parts if you like' },
      { range: 'bytes=-4', status: 206, want: 'like' },
      { range: 'bytes=8-9999', status: 206, want: ' in parts if you like' },
      { range: `bytes=${blob.length}-`, status: 416 },
      { range: 'bytes=-0', status: 416 },
      { range: 'bytes=4-2', status: 200, want: blob.toString() },
      { range: 'bytes=0-1,3-4', status: 200, want: blob.toString() },
      { range: 'lines=0-1', status: 200, want: blob.toString() },
      { range: 'bytes=0-3', ifRange: `"${digestOf(blob)}"`, status: 206, want: 'pull' },
      { range: 'bytes=0-3', ifRange: '"older"', status: 200, want: blob.toString() },
    ];
    for (const { range, status, want, ifRange } of ranges) {
      it(`${range}${ifRange === undefined ? '' : ` if ${ifRange.slice(0, 10)}`} is ${status}`, async () => {
        const headers = { range, ...(ifRange === undefined ? {} : { 'if-range': ifRange }) };
        const got = await registry.send('GET', `/v2/flow/pull/blobs/${digestOf(blob)}`, { headers });
        expect(got.status).to.equal(status);
        if (want !== undefined) expect(got.body.toString()).to.equal(want);
        if (status === 416) expect(got.headers['content-range']).to.equal(`bytes */${blob.length}`);
        if (status === 206)
          expect(got.headers['content-range']).to.match(new RegExp(`^bytes \\d+-\\d+/${blob.length}$`));
      });
    }

    it('knows only what the repository has', async () => {
      const cases = [
        ['GET', 'flow/pull/manifests/nope', 'MANIFEST_UNKNOWN'],
        ['GET', `flow/pull/manifests/${UNKNOWN}`, 'MANIFEST_UNKNOWN'],
        ['GET', 'flow/pull/manifests/.INVALID_MANIFEST_NAME', 'MANIFEST_UNKNOWN'],
        ['GET', `flow/pull/blobs/${UNKNOWN}`, 'BLOB_UNKNOWN'],
        ['GET', `flow/other/blobs/${digestOf(blob)}`, 'BLOB_UNKNOWN'],
        ['GET', 'flow/other/tags/list', 'NAME_UNKNOWN'],
        ['DELETE', `flow/other/blobs/${digestOf(blob)}`, 'BLOB_UNKNOWN'],
        ['DELETE', 'flow/pull/manifests/nope', 'MANIFEST_UNKNOWN'],
        ['PATCH', 'flow/pull/blobs/uploads/11111111-2222-3333-4444-555555555555', 'BLOB_UPLOAD_UNKNOWN'],
      ] as const;
      for (const [method, path, code] of cases) {
        const answer = await registry.send(method, `/v2/${path}`);
        expect(answer.status, path).to.equal(404);
        expect(errorCode(answer), path).to.equal(code);
        if (method === 'GET') expect((await registry.send('HEAD', `/v2/${path}`)).status, path).to.equal(404);
      }
    });
  });

  describe('push', () => {
    const first = Buffer.from('the first chunk, ');
    const second = Buffer.from('and the second');
    const whole = Buffer.concat([first, second]);

    const start = async (repository = 'flow/push'): Promise<string> => {
      const answer = await registry.send('POST', `/v2/${repository}/blobs/uploads/`);
      expect(answer.status).to.equal(202);
      return answer.headers.location!;
    };
    const expectBlob = async (bytes: Buffer, repository = 'flow/push'): Promise<void> => {
      const got = await registry.send('GET', `/v2/${repository}/blobs/${digestOf(bytes)}`);
      expect(got.status).to.equal(200);
      expect(got.body.equals(bytes)).to.equal(true);
    };

    it('takes a blob by POST then PUT', async () => {
      const bytes = Buffer.from('post then put');
      const done = await registry.send('PUT', `${await start()}?digest=${digestOf(bytes)}`, { body: bytes });
      expect(done.status).to.equal(201);
      expect(done.headers.location).to.equal(`/v2/flow/push/blobs/${digestOf(bytes)}`);
      await expectBlob(bytes);
    });

    it('takes a blob in one POST, an empty one too', async () => {
      for (const bytes of [Buffer.from('one post'), Buffer.alloc(0)]) {
        await registry.pushBlob('flow/push', bytes);
        await expectBlob(bytes);
      }
    });

    it('takes a stream without Content-Range or length', async () => {
      const location = await start();
      const patched = await registry.send('PATCH', location, {
        body: whole,
        headers: { 'transfer-encoding': 'chunked' },
      });
      expect(patched.status).to.equal(202);
      expect(patched.headers.range).to.equal(`0-${whole.length - 1}`);
      const done = await registry.send('PUT', `${patched.headers.location}?digest=${digestOf(whole)}`);
      expect(done.status).to.equal(201);
      await expectBlob(whole);
    });

    it('takes chunks in order only, and tells where it is', async () => {
      const location = await start('flow/chunks');
      const range = (from: number, bytes: Buffer) => ({ 'content-range': `${from}-${from + bytes.length - 1}` });
      const early = await registry.send('PATCH', location, { body: second, headers: range(first.length, second) });
      expect(early.status).to.equal(416);
      expect((await registry.send('PATCH', location, { body: first, headers: range(0, first) })).status).to.equal(202);
      const twice = await registry.send('PATCH', location, { body: first, headers: range(0, first) });
      expect(twice.status).to.equal(416);
      expect(twice.headers.range).to.equal(`0-${first.length - 1}`);
      const status = await registry.send('GET', location);
      expect(status.status).to.equal(204);
      expect(status.headers.range).to.equal(`0-${first.length - 1}`);
      const done = await registry.send('PUT', `${status.headers.location}?digest=${digestOf(whole)}`, {
        body: second,
        headers: range(first.length, second),
      });
      expect(done.status).to.equal(201);
      await expectBlob(whole, 'flow/chunks');
    });

    it('refuses a chunk that is not as long as announced, and keeps the session as it was', async () => {
      const location = await start();
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) {
        const answer = await registry.send('PATCH', location, {
          body: whole,
          headers: { ...headers, 'content-range': '0-3' },
        });
        expect(answer.status).to.equal(400);
        expect(errorCode(answer)).to.equal('SIZE_INVALID');
        expect((await registry.send('GET', location)).headers.range).to.equal('0-0');
      }
      expect((await registry.send('PUT', `${location}?digest=${digestOf(whole)}`, { body: whole })).status).to.equal(
        201,
      );
    });

    it('leaves nothing of a blob with the wrong digest', async () => {
      const location = await start('flow/wrong');
      const wrong = await registry.send('PUT', `${location}?digest=${UNKNOWN}`, { body: whole });
      expect(wrong.status).to.equal(400);
      expect(errorCode(wrong)).to.equal('DIGEST_INVALID');
      expect((await registry.send('GET', location)).status).to.equal(404);
      const post = await registry.send('POST', `/v2/flow/wrong/blobs/uploads/?digest=${UNKNOWN}`, { body: whole });
      expect(errorCode(post)).to.equal('DIGEST_INVALID');
      expect((await registry.files()).filter((file) => file.includes('flow/wrong') || file.startsWith('tmp'))).to.eql(
        [],
      );
    });

    it('cancels a session', async () => {
      const location = await start('flow/cancel');
      await registry.send('PATCH', location, { body: first });
      expect((await registry.send('DELETE', location)).status).to.equal(204);
      expect((await registry.send('GET', location)).status).to.equal(404);
      expect((await registry.files()).filter((file) => file.includes('flow/cancel'))).to.eql([]);
    });

    it('mounts what another repository has, else opens a session', async () => {
      const bytes = Buffer.from('mount me');
      const { digest } = await registry.pushBlob('flow/push', bytes);
      const cases = [
        { query: `mount=${digest}&from=flow/push`, status: 201 },
        { query: `mount=${digest}&from=flow/nobody`, status: 202 },
        { query: `mount=${UNKNOWN}&from=flow/push`, status: 202 },
        { query: `mount=${UNKNOWN}`, status: 202 },
      ];
      for (const [number, { query, status }] of cases.entries()) {
        const target = `flow/mounted${number}`;
        const answer = await registry.send('POST', `/v2/${target}/blobs/uploads/?${query}`);
        expect(answer.status, query).to.equal(status);
        const there = await registry.send('HEAD', `/v2/${target}/blobs/${digest}`);
        expect(there.status, query).to.equal(status === 201 ? 200 : 404);
      }
    });

    it('refuses manifests that are wrong, too large, or refer to what is not there', async () => {
      const config = await registry.pushBlob('flow/push', Buffer.from('{}'));
      const missing: Descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: UNKNOWN, size: 1 };
      const good = manifestOf({ config, layers: [] });
      const cases: { what: string; reference: string; bytes: Buffer; status: number; code: string; type?: string }[] = [
        {
          what: 'missing layer',
          reference: 'a',
          bytes: manifestOf({ config, layers: [missing] }),
          status: 400,
          code: 'MANIFEST_BLOB_UNKNOWN',
        },
        { what: 'not JSON', reference: 'a', bytes: Buffer.from('{'), status: 400, code: 'MANIFEST_INVALID' },
        { what: 'other digest', reference: UNKNOWN, bytes: good, status: 400, code: 'DIGEST_INVALID' },
        { what: 'bad tag', reference: '-a', bytes: good, status: 400, code: 'MANIFEST_INVALID' },
        {
          what: 'wrong size',
          reference: 'a',
          bytes: manifestOf({ config: { ...config, size: 3 }, layers: [] }),
          status: 400,
          code: 'MANIFEST_INVALID',
        },
        {
          what: 'CVE-2021-41190',
          reference: 'a',
          bytes: good,
          type: MEDIA_TYPE.ociIndex,
          status: 400,
          code: 'MANIFEST_INVALID',
        },
        {
          what: 'too large',
          reference: 'a',
          bytes: Buffer.alloc(4 * 2 ** 20 + 1, ' '),
          status: 413,
          code: 'SIZE_INVALID',
        },
      ];
      for (const { what, reference, bytes, status, code, type } of cases) {
        const answer = await registry.putManifest('flow/push', reference, bytes, type);
        expect(answer.status, what).to.equal(status);
        expect(errorCode(answer), what).to.equal(code);
      }
      expect((await registry.putManifest('flow/push', digestOf(good), good)).status).to.equal(201);
      const foreign = { ...missing, urls: ['https://example.com/layer'] };
      const withForeign = manifestOf({ config, layers: [foreign] });
      expect((await registry.putManifest('flow/push', 'foreign', withForeign)).status).to.equal(201);
    });
  });

  describe('content discovery', () => {
    const tags = ['A', 'b', 'v1', 'v1.1', 'v2'];
    before(async () => {
      for (const tag of tags) await registry.pushImage('flow/tags', tag, 'tags');
    });

    it('lists tags sorted, in pages that follow each other', async () => {
      const all = await registry.send('GET', '/v2/flow/tags/tags/list');
      expect(json(all.body)).to.eql({ name: 'flow/tags', tags });
      const seen: unknown[] = [];
      let path: string | undefined = '/v2/flow/tags/tags/list?n=2';
      while (path !== undefined) {
        const answer = await registry.send('GET', path);
        seen.push(json(answer.body).tags);
        path = /^<(.*)>; rel="next"$/.exec((answer.headers.link as string | undefined) ?? '')?.[1];
      }
      expect(seen).to.eql([['A', 'b'], ['v1', 'v1.1'], ['v2']]);
      const none = await registry.send('GET', '/v2/flow/tags/tags/list?n=0');
      expect(json(none.body).tags).to.eql([]);
      expect(none.headers.link).to.equal(undefined);
      expect((await registry.send('GET', '/v2/flow/tags/tags/list?n=x')).status).to.equal(400);
      const after = await registry.send('GET', '/v2/flow/tags/tags/list?last=v1.0');
      expect(json(after.body).tags).to.eql(['v1.1', 'v2']);
    });

    it('lists repositories', async () => {
      const answer = await registry.send('GET', '/v2/_catalog?n=1&last=flow/pull');
      expect(json(answer.body)).to.eql({ repositories: ['flow/push'] });
      expect(answer.headers.link).to.equal('</v2/_catalog?n=1&last=flow%2Fpush>; rel="next"');
    });

    it('lists referrers, pushed before or after their subject, filtered by type', async () => {
      const config = await registry.pushBlob('flow/refs', Buffer.from('{}'));
      const subjectBytes = manifestOf({ config, layers: [] });
      const subject: Descriptor = {
        mediaType: MEDIA_TYPE.ociManifest,
        digest: digestOf(subjectBytes),
        size: subjectBytes.length,
      };
      const sbom = manifestOf({ config, layers: [], subject, artifactType: 'a/sbom', annotations: { n: '1' } });
      const plain = manifestOf({ config, layers: [], subject });
      for (const bytes of [sbom, subjectBytes, plain]) {
        const put = await registry.putManifest('flow/refs', digestOf(bytes), bytes);
        expect(put.status).to.equal(201);
        expect(put.headers['oci-subject']).to.equal(bytes === subjectBytes ? undefined : subject.digest);
      }
      const list = async (query = ''): Promise<{ manifests: Descriptor[]; applied: unknown }> => {
        const answer = await registry.send('GET', `/v2/flow/refs/referrers/${subject.digest}${query}`);
        expect(answer.status).to.equal(200);
        expect(answer.headers['content-type']).to.equal(MEDIA_TYPE.ociIndex);
        return {
          manifests: json(answer.body).manifests as Descriptor[],
          applied: answer.headers['oci-filters-applied'],
        };
      };
      expect((await list()).manifests).to.have.deep.members([
        {
          mediaType: MEDIA_TYPE.ociManifest,
          digest: digestOf(sbom),
          size: sbom.length,
          artifactType: 'a/sbom',
          annotations: { n: '1' },
        },
        {
          mediaType: MEDIA_TYPE.ociManifest,
          digest: digestOf(plain),
          size: plain.length,
          artifactType: MEDIA_TYPE.ociConfig,
        },
      ]);
      const filtered = await list('?artifactType=a/sbom');
      expect(filtered.manifests.map((entry) => entry.digest)).to.eql([digestOf(sbom)]);
      expect(filtered.applied).to.equal('artifactType');
      expect((await registry.send('DELETE', `/v2/flow/refs/manifests/${digestOf(sbom)}`)).status).to.equal(202);
      expect((await list()).manifests.map((entry) => entry.digest)).to.eql([digestOf(plain)]);
      const none = await registry.send('GET', `/v2/flow/nothing/referrers/${UNKNOWN}`);
      expect(json(none.body).manifests).to.eql([]);
    });
  });

  describe('content management', () => {
    it('deletes a tag alone, then a manifest with its tags, then blobs', async () => {
      const { digest, bytes } = await registry.pushImage('flow/manage', 'one', 'manage');
      await registry.putManifest('flow/manage', 'two', bytes);
      expect((await registry.send('DELETE', '/v2/flow/manage/manifests/one')).status).to.equal(202);
      expect((await registry.send('GET', '/v2/flow/manage/manifests/one')).status).to.equal(404);
      expect((await registry.send('GET', '/v2/flow/manage/manifests/two')).status).to.equal(200);
      expect((await registry.send('DELETE', `/v2/flow/manage/manifests/${digest}`)).status).to.equal(202);
      for (const reference of ['two', digest]) {
        expect((await registry.send('GET', `/v2/flow/manage/manifests/${reference}`)).status).to.equal(404);
      }
      const blob = digestOf(Buffer.from('manage'));
      expect((await registry.send('DELETE', `/v2/flow/manage/blobs/${blob}`)).status).to.equal(202);
      expect((await registry.send('GET', `/v2/flow/manage/blobs/${blob}`)).status).to.equal(404);
      expect((await registry.files()).filter((file) => file.endsWith(blob.slice(7)))).to.eql([]);
    });

    it('frees a blob with the last repository that has it', async () => {
      const { digest } = await registry.pushBlob('flow/one', Buffer.from('shared'));
      await registry.send('POST', `/v2/flow/two/blobs/uploads/?mount=${digest}&from=flow/one`);
      await registry.send('DELETE', `/v2/flow/one/blobs/${digest}`);
      expect((await registry.send('GET', `/v2/flow/two/blobs/${digest}`)).body.toString()).to.equal('shared');
      await registry.send('DELETE', `/v2/flow/two/blobs/${digest}`);
      expect(await registry.files()).not.to.include(`blobs/sha256/${digest.slice(7)}`);
    });
  });

  it('refuses methods an endpoint does not have', async () => {
    const answer = await registry.send('POST', '/v2/flow/pull/tags/list');
    expect(answer.status).to.equal(405);
    expect(errorCode(answer)).to.equal('UNSUPPORTED');
    expect(answer.headers.allow).to.equal('GET, HEAD');
  });
});
