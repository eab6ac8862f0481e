import { Readable } from 'node:stream';
import { expect } from 'chai';
import { NotFoundError, RegistryError } from '../../lib/errors.js';
import { createHttpClient } from '../../lib/http/index.js';
import { foreignBlob } from '../../lib/registry/foreign-blob.js';
import type { V1Host } from '../../lib/registry/v1/host.js';
import { V1Session } from '../../lib/registry/v1/session.js';
import { uploadLocation } from '../../lib/registry/v2/upload-location.js';
import { digestOf } from '../../lib/spec/index.js';
import { NOT_PUBLIC } from '../helpers/not-public.js';
import { rejection } from '../helpers/rejection.js';

const { signal } = new AbortController();

describe('registry: a public one', () => {
  for (const host of NOT_PUBLIC)
    it(`does not lead to ${host}: by upload location, foreign URL or v1 endpoint`, async () => {
      const target = `https://${host}/x`;
      const response = { status: 202, headers: { location: target }, url: 'https://1.1.1.1/v2/' };
      const asked = { method: 'POST', host: 'reg.example', repository: 'a/b', kind: 'blob', subject: 'x' } as const;
      expect(await rejection(uploadLocation(response, asked))).to.be.instanceOf(RegistryError);

      const http = createHttpClient({ retries: 0 });
      const descriptor = { mediaType: 'x/y', digest: digestOf(Buffer.from('a')), size: 1, urls: [target] };
      const error = await rejection(foreignBlob(descriptor, { http, namedBy: '1.1.1.1' }).open({ signal }));
      expect(error).to.be.instanceOf(NotFoundError);
      expect(error.message).to.include('is an address in a private network');
      expect(http.statistics.requests).to.equal(0);
      await http.close();

      const headers = { 'x-docker-endpoints': `${host}:5000, 1.0.0.1` };
      const session = new V1Session(indexAnswering(headers), 'a/b');
      await session.index({ method: 'GET', path: 'repositories/a/b/images', signal }, 100);
      expect(session.namedEndpoints).to.deep.equal(['https://1.0.0.1']);
    });

  /** The index of a public v1 registry. */
  function indexAnswering(headers: Record<string, string>): V1Host {
    const base = 'https://1.1.1.1';
    const request = (): Promise<object> =>
      Promise.resolve({ status: 200, headers, url: `${base}/v1/`, body: Buffer.alloc(0), stream: Readable.from([]) });
    return {
      base: () => Promise.resolve(base),
      cookies: { take: () => undefined, header: () => undefined },
      options: { credentials: () => Promise.resolve(undefined), documents: { request } },
    } as unknown as V1Host;
  }
});
