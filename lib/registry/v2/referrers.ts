import { InvalidManifestError } from '../../errors.js';
import {
  baseMediaType,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseManifest,
  referrersTag,
  type Descriptor,
  type Digest,
  type Referrers,
} from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import { fetchManifest, type Place } from './manifests.js';
import { nextPage } from './next-page.js';
import { responseError, isForeign } from './responses.js';

const MAX_PAGES = 1000;
const MAX_REFERRERS = 10_000;
/** Statuses of registries without the referrers API. */
const NO_API: ReadonlySet<number> = new Set([400, 404, 405, 406, 501]);

/** The referrers of a manifest. Throws as RepositoryReader.referrers. */
export async function listReferrers(place: Place, digest: Digest, signal: AbortSignal): Promise<Referrers> {
  const listed = place.endpoint.facts.hasReferrersApi === false ? undefined : await askApi(place, digest, signal);
  if (listed !== undefined) return { via: 'api', descriptors: listed };
  const tag = referrersTag(digest);
  const found = await ifFound(fetchManifest(place, { tag }, { signal }));
  if (found === undefined) return { via: 'tag', descriptors: [] };
  const { bytes, descriptor } = found;
  return { via: 'tag', descriptors: parseReferrers(bytes, descriptor.mediaType, `referrers of ${digest}`) };
}

/** Undefined: the registry does not support the API. */
async function askApi(place: Place, digest: Digest, signal: AbortSignal): Promise<Descriptor[] | undefined> {
  const { endpoint, repository, scope } = place;
  const found: Descriptor[] = [];
  let path = `/v2/${repository}/referrers/${digest}`;
  for (let page = 0; page < MAX_PAGES && found.length <= MAX_REFERRERS; page++) {
    const headers = { accept: MEDIA_TYPE.ociIndex };
    const response = await endpoint.request({ method: 'GET', path, headers, scope, signal }, MAX_MANIFEST_BYTES);
    const subject = `referrers of ${repository}@${digest}`;
    const isIndex = baseMediaType(response.headers['content-type']) === MEDIA_TYPE.ociIndex;
    if (page === 0 && (NO_API.has(response.status) || isForeign(response) || (response.status === 200 && !isIndex))) {
      endpoint.facts.hasReferrersApi = false;
      return undefined;
    }
    if (response.status !== 200)
      throw responseError(response, { method: 'GET', host: endpoint.host, repository, kind: 'manifest', subject });
    endpoint.facts.hasReferrersApi = true;
    found.push(...parseReferrers(response.body, MEDIA_TYPE.ociIndex, subject));
    const next = nextPage(response.headers.link, response.url);
    if (next === undefined) return found;
    if (next === 'unclear')
      throw new InvalidManifestError(`the link to the next page of the ${subject} is invalid`, { where: digest });
    ({ path } = next);
  }
  throw new InvalidManifestError(`the referrers of ${repository}@${digest} do not end`, { where: digest });
}

function parseReferrers(bytes: Buffer, mediaType: string, where: string): Descriptor[] {
  const document = parseManifest(bytes, mediaType, where);
  if (document.kind === 'index') return [...document.manifests];
  throw new InvalidManifestError(`${where} are not listed in an index`, { where });
}
