import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  AuthenticationError,
  DigestMismatchError,
  InvalidManifestError,
  InvalidReferenceError,
  NotFoundError,
  RegistryError,
  TransportError,
} from '../../lib/errors.js';
import { resolveImage } from '../../lib/operations/index.js';
import type { RegistryClientOptions, RepositoryReader } from '../../lib/registry/index.js';
import { digestOf, hostPlatform, MAX_MANIFEST_BYTES, type Descriptor } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { startScript, type Reply, type ScriptedServer, type Step } from '../helpers/scripted-registry.js';
import { scriptedSuite } from '../helpers/scripted-suite.js';
import { makeSelfSigned } from '../helpers/self-signed.js';

const { signal } = new AbortController();
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const blobOf = (mediaType: string, bytes: string): Descriptor => ({
  mediaType: `application/vnd.oci.image.${mediaType}`,
  digest: digestOf(bytes),
  size: bytes.length,
});
const config = blobOf('config.v1+json', '{}');
const manifest = json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] });
const digest = digestOf(manifest);

describe('registry v2, reading', () => {
  const suite = scriptedSuite();
  let server: ScriptedServer;

  async function reader(steps: readonly Step[], options: RegistryClientOptions = {}): Promise<RepositoryReader> {
    server = await suite.serve(...steps);
    return suite.client(options).open({ host: server.host, repository: 'a/b' }, { signal });
  }
  const at = (method: string, reference: string, reply: Reply): Step => ({
    method,
    path: `/v2/a/b/manifests/${reference}`,
    reply,
  });
  const served = (body: Buffer | string, type = OCI_MANIFEST, headers: Record<string, string> = {}): Reply => ({
    body,
    headers: { 'content-type': type, ...headers },
  });

  it('refuses a repository name that would reach another path', async () => {
    for (const repository of ['../x', 'a/../b', 'A', 'a//b', 'a?b', '', 'a%2f', '/a', 'a/'])
      expect(
        await rejection(suite.client().open({ host: '127.0.0.1:1', repository }, { signal })),
        repository,
      ).to.be.instanceOf(InvalidReferenceError);
  });

  describe('HEAD of a manifest', () => {
    it('tells the descriptor in one request, all types asked for', async () => {
      const repository = await reader([
        {
          ...at('HEAD', '1', served(manifest, `${OCI_MANIFEST}; charset=utf-8`, { 'docker-content-digest': digest })),
          expect: {
            accept: new RegExp([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST].join('.*|.*').replaceAll('+', '\\+')),
          },
        },
      ]);
      expect(await repository.resolve({ tag: '1' }, { signal })).to.deep.equal({
        mediaType: OCI_MANIFEST,
        digest,
        size: manifest.length,
      });
    });

    for (const [what, head] of [
      ['is not allowed', { status: 405 }],
      ['is not implemented', { status: 501 }],
      ['is forbidden', { status: 403 }],
      ['is a bad request', { status: 400 }],
      ['finds nothing', { status: 404 }],
      ['is called a page', served(manifest, 'text/html', { 'docker-content-digest': digest })],
      [
        'tells the length of something packed',
        served(manifest, OCI_MANIFEST, { 'docker-content-digest': digest, 'content-encoding': 'gzip' }),
      ],
      ['tells no digest', served(manifest)],
      ['tells a digest that is none', served(manifest, OCI_MANIFEST, { 'docker-content-digest': 'sha256:0' })],
      [
        'tells no size',
        { ...served(manifest, OCI_MANIFEST, { 'docker-content-digest': digest }), contentLength: 'none' },
      ],
      ['tells no type', served(manifest, 'text/plain', { 'docker-content-digest': digest })],
    ] as const) {
      it(`is followed by GET where it ${what}`, async () => {
        const repository = await reader([at('HEAD', '1', head), at('GET', '1', served(manifest))]);
        expect(await repository.resolve({ tag: '1' }, { signal })).to.deep.include({ digest, size: manifest.length });
      });
    }

    it('that finds nothing is believed where the registry says which protocol it speaks', async () => {
      const headers = { 'docker-distribution-api-version': 'registry/2.0' };
      const repository = await reader([at('HEAD', '1', { status: 404, headers })]);
      expect(await rejection(repository.resolve({ tag: '1' }, { signal }))).to.be.instanceOf(NotFoundError);
    });

    it('that finds nothing is believed once GET has found nothing either, or HEAD has found something', async () => {
      const lost = await reader([
        at('HEAD', '1', { status: 404 }),
        at('GET', '1', { status: 404 }),
        at('HEAD', '2', { status: 404 }),
      ]);
      for (const tag of ['1', '2'])
        expect(await rejection(lost.resolve({ tag }, { signal }))).to.be.instanceOf(NotFoundError);
      const found = await reader([
        at('HEAD', '1', served(manifest, OCI_MANIFEST, { 'docker-content-digest': digest })),
        at('HEAD', '2', { status: 404 }),
      ]);
      await found.resolve({ tag: '1' }, { signal });
      expect(await rejection(found.resolve({ tag: '2' }, { signal }))).to.be.instanceOf(NotFoundError);
    });

    it('of a digest gives that digest, whatever the header says (case 19)', async () => {
      const lie = served(manifest, OCI_MANIFEST, { 'docker-content-digest': digestOf('other') });
      const repository = await reader([at('HEAD', digest, lie)]);
      expect((await repository.resolve({ digest, tag: 'x' }, { signal })).digest).to.equal(digest);
    });
  });

  describe('GET of a manifest', () => {
    it('gives the bytes as they were sent', async () => {
      const odd = Buffer.from(`\n ${manifest.toString()}  \n`);
      const repository = await reader([at('GET', '1', served(odd))]);
      const raw = await repository.manifest({ tag: '1' }, { signal });
      expect(raw.bytes.equals(odd)).to.equal(true);
      expect(raw.descriptor).to.deep.equal({ mediaType: OCI_MANIFEST, digest: digestOf(odd), size: odd.length });
    });

    it('unpacks what came with Content-Encoding gzip although it was asked for as it is', async () => {
      const packed = (body: Buffer): Reply => served(body, OCI_MANIFEST, { 'content-encoding': 'gzip' });
      const repository = await reader([
        at('GET', '1', packed(gzipSync(manifest))),
        at('GET', '2', packed(manifest)),
        at('GET', '3', packed(gzipSync(Buffer.alloc(MAX_MANIFEST_BYTES + 1)))),
      ]);
      for (const tag of ['1', '2']) {
        const { bytes, descriptor } = await repository.manifest({ tag }, { signal });
        expect(bytes.equals(manifest)).to.equal(true);
        expect(descriptor).to.deep.equal({ mediaType: OCI_MANIFEST, digest, size: manifest.length });
      }
      const bomb = await rejection(repository.manifest({ tag: '3' }, { signal }));
      expect(bomb).to.be.instanceOf(InvalidManifestError);
    });

    it('takes a document that is called a page', async () => {
      const repository = await reader([at('GET', '1', served(manifest, 'text/html'))]);
      expect((await repository.manifest({ tag: '1' }, { signal })).descriptor).to.include({
        mediaType: OCI_MANIFEST,
        digest,
      });
    });

    it('honours a digest, whatever body and header say (GO-2024-3038; case 19)', async () => {
      const other = json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], annotations: { a: 'b' } });
      const lie = served(other, OCI_MANIFEST, { 'docker-content-digest': digest });
      const repository = await reader([at('GET', digest, lie), at('GET', digest, lie)]);
      const error = await rejection(repository.manifest({ digest }, { signal }));
      expect(error).to.be.instanceOf(DigestMismatchError);
      expect(error).to.include({ expected: digest, actual: digestOf(other) });
    });

    it('takes a pinned document although the header names another digest', async () => {
      const lie = served(manifest, OCI_MANIFEST, { 'docker-content-digest': digestOf('other') });
      const repository = await reader([at('GET', digest, lie)]);
      expect((await repository.manifest({ digest, tag: '1' }, { signal })).descriptor.digest).to.equal(digest);
    });

    it('asks once more when what came by tag is not what the header says', async () => {
      const header = { 'docker-content-digest': digest };
      const repository = await reader([
        at('GET', '1', served('{"damaged"', OCI_MANIFEST, header)),
        at('GET', '1', served(manifest, OCI_MANIFEST, header)),
      ]);
      expect((await repository.manifest({ tag: '1' }, { signal })).bytes.equals(manifest)).to.equal(true);
    });

    it('takes what comes twice under a tag though the header says otherwise, with a warning: the bytes decide', async () => {
      const lie = served(manifest, OCI_MANIFEST, { 'docker-content-digest': digestOf('other') });
      const warnings: string[] = [];
      const server = await suite.serve(at('GET', '1', lie), at('GET', '1', lie));
      const client = suite.client({ warn: (line) => void warnings.push(line) });
      const repository = await client.open({ host: server.host, repository: 'a/b' }, { signal });
      expect((await repository.manifest({ tag: '1' }, { signal })).descriptor.digest).to.equal(digest);
      const what = `reports digest ${digestOf('other')} for ${server.host}/a/b:1, but its bytes have ${digest}`;
      expect(warnings).to.deep.equal([`warning: ${server.host} ${what}`]);
    });

    it('asks again when the body is cut', async () => {
      const repository = await reader([
        at('GET', '1', { ...served(manifest), cutAt: 20 }),
        at('GET', '1', served(manifest)),
      ]);
      expect((await repository.manifest({ tag: '1' }, { signal })).descriptor.digest).to.equal(digest);
    });

    it('reads no more than a manifest may be long (case 21)', async () => {
      const huge = Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' ');
      const repository = await reader([
        at('GET', '1', served(huge)),
        at('GET', '2', { ...served(huge), contentLength: 'none' }),
        at('HEAD', '1', served(huge, OCI_MANIFEST, { 'docker-content-digest': digestOf(huge) })),
      ]);
      const tries = [
        () => repository.manifest({ tag: '1' }, { signal }),
        () => repository.manifest({ tag: '2' }, { signal }),
        () => repository.resolve({ tag: '1' }, { signal }),
      ];
      for (const attempt of tries) expect(await rejection(attempt())).to.be.instanceOf(InvalidManifestError);
    });

    it('takes the type from the document where it is served as plain JSON or bytes', async () => {
      for (const type of ['application/json', 'application/octet-stream']) {
        const repository = await reader([at('GET', '1', served(manifest, type))]);
        expect((await repository.manifest({ tag: '1' }, { signal })).descriptor.mediaType).to.equal(OCI_MANIFEST);
      }
    });
  });

  describe('an image', () => {
    const resolve = async (steps: readonly Step[]): ReturnType<typeof resolveImage> =>
      resolveImage(await reader(steps), { tag: '1' }, { platform: hostPlatform(), signal });
    const described = (bytes: Buffer, mediaType: string): object => ({
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length,
      platform: hostPlatform(),
    });
    const index = (...manifests: object[]): Buffer => json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });

    it('is found through an index', async () => {
      const top = index(described(manifest, OCI_MANIFEST));
      const found = await resolve([at('GET', '1', served(top, OCI_INDEX)), at('GET', digest, served(manifest))]);
      expect(found.raw.descriptor.digest).to.equal(digest);
      expect(found.index?.bytes.equals(top)).to.equal(true);
    });

    it('is not looked for through indexes without end (case 21)', async () => {
      let inner = index(described(manifest, OCI_MANIFEST));
      const chain: Buffer[] = [inner];
      for (let depth = 0; depth < 4; depth++) chain.unshift((inner = index(described(inner, OCI_INDEX))));
      const steps = chain
        .slice(0, 4)
        .map((bytes, depth) => at('GET', depth === 0 ? '1' : digestOf(bytes), served(bytes, OCI_INDEX)));
      const error = await rejection(resolve(steps));
      expect(error).to.be.instanceOf(InvalidManifestError);
      expect(error.message).to.include('nested');
    });

    for (const [what, document, type] of [
      ['both layers and manifests', { layers: [], config, manifests: [] }, OCI_MANIFEST],
      ['both manifests and config', { config, manifests: [] }, OCI_INDEX],
      ['another type than it was served as', { mediaType: DOCKER_MANIFEST, config, layers: [] }, OCI_MANIFEST],
      ['a type that is an index in a manifest', { mediaType: OCI_INDEX, manifests: [] }, OCI_MANIFEST],
      ['a layer of negative size', { config, layers: [{ ...blobOf('layer.v1.tar', ''), size: -1 }] }, OCI_MANIFEST],
      ['a layer of a huge size', { config, layers: [{ ...blobOf('layer.v1.tar', ''), size: 1e300 }] }, OCI_MANIFEST],
      ['a layer whose digest is a path', { config, layers: [{ ...config, digest: 'sha256:../../x' }] }, OCI_MANIFEST],
      ['thousands of layers', { config, layers: Array.from({ length: 2000 }, () => config) }, OCI_MANIFEST],
    ] as const) {
      it(`with ${what} is refused (cases 20, 21)`, async () => {
        const bytes = json({ schemaVersion: 2, ...document });
        const error = await rejection(resolve([at('GET', '1', served(bytes, type))]));
        expect(error).to.be.instanceOf(InvalidManifestError);
      });
    }
  });

  describe('a list of tags', () => {
    const list = (path: string, tags: readonly string[], link?: string): Step => ({
      method: 'GET',
      path,
      reply: { body: json({ name: 'a/b', tags }), headers: link === undefined ? {} : { link } },
    });
    const FIRST = '/v2/a/b/tags/list?n=1000';
    const all = async (repository: RepositoryReader): Promise<string[]> => {
      const tags: string[] = [];
      for await (const tag of repository.tags({ signal })) tags.push(tag);
      return tags;
    };

    it('goes on through Link headers, relative and absolute, each tag once', async () => {
      const repository = await reader([list(FIRST, ['1', '2'], '</v2/a/b/tags/list?n=1000&last=2>; rel="next"')]);
      server.add(
        list('/v2/a/b/tags/list?n=1000&last=2', ['2', '3'], `<${server.url}/elsewhere?x=1>; rel=next`),
        list('/elsewhere?x=1', ['4']),
      );
      expect(await all(repository)).to.deep.equal(['1', '2', '3', '4']);
    });

    for (const type of ['text/html', undefined])
      it(`is taken as what it is when it comes as ${type ?? 'nothing at all'}`, async () => {
        const headers = type === undefined ? {} : { 'content-type': type };
        const repository = await reader([{ method: 'GET', path: FIRST, reply: { body: '{"tags":["1"]}', headers } }]);
        expect(await all(repository)).to.deep.equal(['1']);
      });

    it('is empty when the registry says null or nothing', async () => {
      for (const body of ['{"tags":null}', '{}']) {
        const repository = await reader([{ method: 'GET', path: FIRST, reply: { body } }]);
        expect(await all(repository)).to.deep.equal([]);
      }
    });

    it('that never ends is given up: pages in a loop (case 21)', async () => {
      const loop = await reader([list(FIRST, ['1'], `<${FIRST}>; rel="next"`)]);
      expect((await rejection(all(loop))).message).to.include('form a loop');
    });

    const NEXT = '/v2/a/b/tags/list?n=1000&last=1';
    for (const [what, link] of [
      ['at another host, which is how a proxy is seen from behind it', `<http://internal.lan:5000${NEXT}>; rel="next"`],
      ['with another scheme', `<https://127.0.0.1${NEXT}>; rel="next"`],
      ['without angle brackets', `${NEXT}; rel="next"`],
      ['without rel', `<${NEXT}>`],
      ['as bare text', NEXT],
      ['with rel in other letters and further parameters', `<${NEXT}>; title="a, b"; REL=Next`],
      ['among other links', `</v2/>; rel="first", <${NEXT}>; rel="next last", </x>; rel=prev`],
    ] as const) {
      it(`whose next page is named ${what} is read to its end, at the host that was asked`, async () => {
        const repository = await reader([list(FIRST, ['1'], link), list(NEXT, ['2'])]);
        expect(await all(repository)).to.deep.equal(['1', '2']);
      });
    }

    it('ends where a Link leads elsewhere than to a next page', async () => {
      expect(await all(await reader([list(FIRST, ['1'], '</v2/>; rel="prev"')]))).to.deep.equal(['1']);
    });

    for (const [what, link] of [
      ['is empty', '<>; rel="next"'],
      ['is no URL', '<http://[>; rel="next"'],
    ] as const) {
      it(`whose Link ${what} is an error, never a shorter list`, async () => {
        const repository = await reader([list(FIRST, ['1'], link)]);
        expect((await rejection(all(repository))).message).to.include('is invalid');
      });
    }

    it('may have pages that are empty or repeat names', async () => {
      const pages = [
        list(FIRST, ['1'], '</p?1>; rel="next"'),
        list('/p?1', [], '</p?2>; rel="next"'),
        list('/p?2', ['1'], '</p?3>; rel="next"'),
        list('/p?3', ['2']),
      ];
      expect(await all(await reader(pages))).to.deep.equal(['1', '2']);
    });

    it('is asked for without a page size where the registry refuses one, and so from then on', async () => {
      const refused: Step = {
        method: 'GET',
        path: FIRST,
        reply: { status: 400, body: json({ errors: [{ code: 'PAGINATION_NUMBER_INVALID' }] }) },
      };
      const plain = list('/v2/a/b/tags/list', ['1']);
      const repository = await reader([refused, plain, plain]);
      expect(await all(repository)).to.deep.equal(['1']);
      expect(await all(repository)).to.deep.equal(['1']);
    });

    it('loses only names that cannot be tags, and says which', async () => {
      const lines: string[] = [];
      const tags = ['1', `sha256:${'0'.repeat(64)}`, 'a\u001b[2J', '../x', '', '2'];
      const repository = await reader([list(FIRST, tags)], { warn: (line) => lines.push(line) });
      expect(await all(repository)).to.deep.equal(['1', '2']);
      expect(lines).to.have.length(1);
      expect(lines[0]).to.match(
        /^warning: the tag list of \S+\/a\/b holds "sha256:0+", "a\\u001b\[2J", "\.\.\/x" and 1 more, not/,
      );
    });

    for (const [what, body] of [
      ['no JSON', '<x>'],
      ['tags that are no strings', '{"tags":[1]}'],
      ['a page without end', `{"tags":["${'x'.repeat(9 * 2 ** 20)}"]}`],
    ] as const) {
      it(`with ${what} is refused`, async () => {
        const repository = await reader([{ method: 'GET', path: FIRST, reply: { body } }]);
        const error = await rejection(all(repository));
        expect(error).to.be.instanceOf(RegistryError);
        expect(error.message).to.not.match(/[\u0000-\u001f]/);
        expect(error.message.length).to.be.lessThan(500);
      });
    }
  });

  describe('a blob', () => {
    const bytes = Buffer.from('0123456789');
    const descriptor: Descriptor = { mediaType: 'x/y', digest: digestOf(bytes), size: bytes.length };
    const path = `/v2/a/b/blobs/${descriptor.digest}`;
    const open = async (reply: Reply, offset: number): Promise<{ text: string; restarted: boolean }> => {
      const repository = await reader([
        { method: 'GET', path, expect: { range: offset === 0 ? undefined : `bytes=${offset}-` }, reply },
      ]);
      const { body, restarted } = await repository.blob(descriptor).open({ signal, offset });
      return { text: (await buffer(body)).toString(), restarted };
    };
    const range = (value: string): Reply => ({ status: 206, headers: { 'content-range': value }, body: '456789' });

    it('comes whole, or the rest of it (206)', async () => {
      expect(await open({ body: bytes }, 0)).to.deep.equal({ text: '0123456789', restarted: false });
      expect(await open(range('bytes 4-9/10'), 4)).to.deep.equal({ text: '456789', restarted: false });
      expect(await open(range('bytes 4-9/*'), 4)).to.deep.equal({ text: '456789', restarted: false });
    });

    it('that comes whole although a part was asked for is told as such (200)', async () => {
      expect(await open({ body: bytes }, 4)).to.deep.equal({ text: '0123456789', restarted: true });
    });

    it('that ends before the part asked for is sent from its start (416)', async () => {
      const repository = await reader([
        { method: 'GET', path, expect: { range: 'bytes=20-' }, reply: { status: 416 } },
        { method: 'GET', path, expect: { range: undefined }, reply: { body: bytes } },
      ]);
      const { body, restarted } = await repository.blob(descriptor).open({ signal, offset: 20 });
      expect((await buffer(body)).toString()).to.equal('0123456789');
      expect(restarted).to.equal(true);
    });

    for (const value of ['bytes 3-9/10', 'bytes 0-9/10', '', 'bytes x-y/z', 'items 4-9/10']) {
      it(`of another range than asked for is refused: ${JSON.stringify(value)} (case 31)`, async () => {
        const repository = await reader([
          { method: 'GET', path, expect: { range: 'bytes=4-' }, reply: range(value) },
          { method: 'GET', path, expect: { range: undefined }, reply: range(value) },
        ]);
        const error = await rejection(repository.blob(descriptor).open({ signal, offset: 4 }));
        expect(error).to.be.instanceOf(RegistryError);
        expect(error.hint).to.include('Range');
      });
    }

    const refusals: readonly (readonly [string, Reply])[] = [
      ...[400, 403, 404, 501].map((status) => [`answered ${status}`, { status }] as const),
      ['answered with another range', range('bytes 3-9/10')],
      ['answered with a range that is none', range('bytes=4-9/10')],
      ['answered with part of it that is not named', { status: 206, body: '456789' }],
    ];
    for (const [what, refusal] of refusals)
      it(`of which a part is ${what} is asked for whole, and so are others of the host at once`, async () => {
        const repository = await reader([
          { method: 'GET', path, expect: { range: 'bytes=0-3' }, reply: refusal },
          { method: 'GET', path, expect: { range: undefined }, reply: { body: bytes }, times: 2 },
        ]);
        for (const piece of [{ offset: 0, length: 4 }, { offset: 4 }]) {
          const { body, ranged, restarted } = await repository.blob(descriptor).open({ signal, ...piece });
          expect((await buffer(body)).toString()).to.equal('0123456789');
          expect([ranged, restarted]).to.deep.equal([false, piece.offset > 0]);
        }
      });

    it('that is missing is told as such, with and without a range', async () => {
      const repository = await reader([
        { method: 'GET', path, reply: { status: 404 }, times: 3 },
        { method: 'GET', path, expect: { range: 'bytes=4-' }, reply: range('bytes 4-9/10') },
      ]);
      for (const length of [4, undefined]) {
        const error = await rejection(
          repository.blob(descriptor).open({ signal, offset: 0, ...(length === undefined ? {} : { length }) }),
        );
        expect(error).to.be.instanceOf(NotFoundError);
      }
      // Nothing was learned of ranges by that.
      const { ranged, body } = await repository.blob(descriptor).open({ signal, offset: 4 });
      body.destroy();
      expect(ranged).to.equal(true);
    });

    it('called a page is taken where it is as long as it should be', async () => {
      const headers = { 'content-type': 'text/html' };
      expect(await open({ body: bytes, headers }, 0)).to.deep.equal({ text: '0123456789', restarted: false });
      const error = await rejection(open({ body: '<html>', headers }, 0));
      expect(error.message).to.include('does not answer as a registry');
    });

    it('whose HEAD is refused tells its size by GET', async () => {
      for (const status of [400, 403, 404, 405]) {
        const repository = await reader([
          { method: 'HEAD', path, reply: { status } },
          { method: 'GET', path, reply: { body: bytes } },
        ]);
        expect(await repository.blobSize!(descriptor.digest, { signal })).to.equal(10);
      }
    });

    it('sends no credentials to where it is redirected (CVE-2020-15157)', async () => {
      const storage = await suite.serve({
        method: 'GET',
        path: '/store?sig=1',
        expect: { authorization: undefined },
        reply: { body: bytes },
      });
      server = await suite.serve(
        {
          method: 'GET',
          path,
          expect: { authorization: undefined },
          reply: { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
        },
        {
          method: 'GET',
          path,
          expect: { authorization: /^Basic / },
          reply: { status: 307, headers: { location: `${storage.url}/store?sig=1` } },
        },
      );
      const client = suite.client({
        credentials: () => Promise.resolve({ username: 'u', password: 'secret', source: 'test' }),
      });
      const repository = await client.open({ host: server.host, repository: 'a/b' }, { signal });
      const { body } = await repository.blob(descriptor).open({ signal });
      expect((await buffer(body)).toString()).to.equal('0123456789');
    });
  });

  describe('errors', () => {
    const failure = async (reply: Reply): Promise<Error & { readonly hint?: string }> =>
      rejection((await reader([at('GET', '1', reply)], { retries: 0 })).manifest({ tag: '1' }, { signal }));
    const told = (code: string, message = ''): Buffer => json({ errors: [{ code, message }] });

    it('404 says what is missing and how to see what there is', async () => {
      const unknown = await failure({ status: 404, body: told('MANIFEST_UNKNOWN') });
      expect(unknown).to.be.instanceOf(NotFoundError).and.include({ kind: 'manifest' });
      expect(unknown.hint).to.equal(`list the tags: imgtool tags ${server.host}/a/b`);
      const name = await failure({ status: 404, body: told('NAME_UNKNOWN') });
      expect(name).to.be.instanceOf(NotFoundError).and.include({ kind: 'repository' });
      expect(name.hint).to.include('spelling');
    });

    it('403 is a matter of access, with what the registry said', async () => {
      const error = await failure({ status: 403, body: told('DENIED', 'not for\u001b[31m you\nat all') });
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.match(/: not for \[31m you at all$/);
    });

    it('429 and 503 are told after the retries, with what to do', async () => {
      expect((await failure({ status: 429, headers: { 'retry-after': '3600' } })).hint).to.include('3600');
      expect((await failure({ status: 503 })).hint).to.include('try again later');
    });

    it('a registry that is busy at first is asked again, in its own time', async () => {
      const busy = at('GET', '1', { status: 429, headers: { 'retry-after': '0.1' } });
      const repository = await reader([busy, busy, at('GET', '1', served(manifest))]);
      const started = performance.now();
      await repository.manifest({ tag: '1' }, { signal });
      expect(performance.now() - started).to.be.within(190, 60_000);
    });

    it('a web server that is no registry is told as such', async () => {
      for (const status of [200, 404, 403]) {
        const error = await failure({ status, body: '<html>', headers: { 'content-type': 'text/html' } });
        expect(error).to.be.instanceOf(RegistryError);
        expect(error.message).to.include('does not answer as a registry');
      }
    });
  });

  describe('the scheme', () => {
    it('of a loopback host may be https with a certificate nobody knows: said, not taken', async () => {
      const secure = await startScript([], await makeSelfSigned());
      try {
        const repository = await suite.client().open({ host: secure.host, repository: 'a/b' }, { signal });
        const error = await rejection(repository.manifest({ tag: '1' }, { signal }));
        expect(error).to.be.instanceOf(TransportError).and.include({ phase: 'tls' });
        expect(error.message).to.include('self-signed');
        expect(error.hint).to.include('--tls-verify=false');
        expect(secure.requests).to.have.length(0);
      } finally {
        await secure.close();
      }
    });

    it('is https where the certificate is given, or taken unseen on demand', async () => {
      const pair = await makeSelfSigned();
      for (const options of [{ tls: () => ({ ca: [pair.cert] }) }, { tlsVerify: false }]) {
        const secure = await startScript([at('GET', '1', served(manifest))], pair);
        try {
          const repository = await suite.client(options).open({ host: secure.host, repository: 'a/b' }, { signal });
          expect((await repository.manifest({ tag: '1' }, { signal })).descriptor.digest).to.equal(digest);
          secure.verify();
        } finally {
          await secure.close();
        }
      }
    });

    it('is found once, however many requests are first', async () => {
      const repository = await reader([1, 2, 3, 4].map((tag) => at('GET', String(tag), served(manifest))));
      await Promise.all(['1', '2', '3', '4'].map((tag) => repository.manifest({ tag }, { signal })));
      expect(server.requests).to.have.length(4);
    });

    it('of a loopback host may be plain http without a word, and is asked for nothing but what is wanted', async () => {
      const repository = await reader([at('GET', '1', served(manifest))]);
      await repository.manifest({ tag: '1' }, { signal });
      expect(server.requests.map(({ path }) => path)).to.deep.equal(['/v2/a/b/manifests/1']);
    });
  });
});
