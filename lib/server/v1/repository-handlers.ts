import { isLooseV1Id } from '../../spec/index.js';
import type { Exchange } from '../exchange.js';
import { readBody } from '../read-body.js';
import type { RegistryStorage } from '../types.js';
import type { V1Images } from './images.js';
import { tagImage } from './tag-image.js';
import { v1Error } from './v1-error.js';

const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_RESULTS = 100;

/** GET repositories/R/images: all images of all tags, each tag with its image. */
export async function getIndex(exchange: Exchange, images: V1Images, name: string): Promise<void> {
  const { tags } = await tagsOf(images, name);
  const list = new Map<string, object>();
  for (const { id, payloadChecksum } of await images.withAncestors([...new Set(tags.values())]))
    list.set(id, { id, ...(payloadChecksum === undefined ? {} : { checksum: payloadChecksum }) });
  const tagged = [...tags].map(([tag, id]) => ({ ...list.get(id), id, Tag: tag }));
  const withTag = new Set(tags.values());
  exchange.json(
    [...[...list].filter(([id]) => !withTag.has(id)).map(([, entry]) => entry), ...tagged],
    endpoints(exchange),
  );
}

/** PUT repositories/R/ and repositories/R/images: announces or concludes a push. As its own index, the registry only validates it. */
export async function putIndex(
  exchange: Exchange,
  status: 200 | 204,
  onList: (ids: readonly string[]) => void,
): Promise<void> {
  // Reports a read-only registry before anything is sent.
  void exchange.writer;
  const list = await readJson(exchange);
  if (!Array.isArray(list) || !list.every((entry) => isLooseV1Id((entry as { id?: unknown } | null)?.id)))
    throw v1Error(400, 'Invalid data: not a list of images');
  onList(list.map((entry: { id: string }) => entry.id));
  const headers = { 'Content-Type': 'application/json', ...endpoints(exchange) };
  if (status === 204) return exchange.answer(204, headers);
  exchange.json('', headers);
}

/** GET repositories/R/tags. */
export async function getTags(exchange: Exchange, images: V1Images, name: string): Promise<void> {
  const { tags } = await tagsOf(images, name);
  exchange.json(Object.fromEntries(tags));
}

/** GET repositories/R/tags/T. */
export async function getTag(exchange: Exchange, images: V1Images, name: string, tag: string): Promise<void> {
  for (const repository of candidates(name)) {
    const id = await images.tag(repository, tag);
    if (id !== undefined) return exchange.json(id);
  }
  throw v1Error(404, 'Tag not found');
}

/** PUT repositories/R/tags/T: also makes the image readable over v2. */
export async function putTag(exchange: Exchange, images: V1Images, name: string, tag: string): Promise<void> {
  void exchange.writer;
  const id = await readJson(exchange);
  if (!isLooseV1Id(id)) throw v1Error(400, 'Invalid data: not an image ID');
  const image = await images.find(id);
  if (image === undefined) throw v1Error(404, 'Image not found');
  const chain = image === 'in progress' ? undefined : await images.chain(id);
  if (chain === undefined) throw v1Error(400, 'Image is being uploaded, retry later');
  await tagImage(exchange, { repository: await writable(exchange.storage, name), tag, chain });
  exchange.json(true);
}

/** DELETE repositories/R/tags/T. */
export async function deleteTag(exchange: Exchange, name: string, tag: string): Promise<void> {
  const { writer } = exchange;
  for (const repository of candidates(name)) if (await writer.deleteTag(repository, tag)) return exchange.json(true);
  throw v1Error(404, 'Tag not found');
}

/** DELETE repositories/R/ and repositories/R/tags: removes tags and manifests; blobs and v1 images stay. */
export async function deleteRepository(exchange: Exchange, images: V1Images, name: string): Promise<void> {
  const { storage, writer } = exchange;
  const { repository } = await tagsOf(images, name);
  for (const tag of (await storage.tags(repository)) ?? []) {
    const manifest = await storage.findManifest(repository, { tag });
    if (manifest === undefined) await writer.deleteTag(repository, tag);
    else await writer.deleteManifest(repository, manifest.descriptor.digest);
  }
  exchange.json(true, endpoints(exchange));
}

/** GET search?q=&n=&page=: repositories whose name contains the term. */
export async function search(exchange: Exchange): Promise<void> {
  const query = exchange.query.get('q') ?? '';
  const size = number(exchange.query.get('n'), 25, MAX_RESULTS);
  const page = number(exchange.query.get('page'), 1, Number.MAX_SAFE_INTEGER);
  const term = query.toLowerCase().replace(/^library\//, '');
  const all = (await exchange.storage.repositories()).filter((name) => name.includes(term));
  const results = all.slice((page - 1) * size, page * size).map((name) => ({
    name,
    description: '',
    star_count: 0,
    is_official: false,
    is_automated: false,
  }));
  const pages = Math.max(1, Math.ceil(all.length / size));
  exchange.json({ query, num_results: all.length, num_pages: pages, page, page_size: size, results });
}

/** v1 clients write a name of one component sometimes as it is and sometimes as `library/NAME`; both mean the same repository. */
function candidates(name: string): string[] {
  if (!name.includes('/')) return [name, `library/${name}`];
  const [first, second, ...more] = name.split('/');
  return first === 'library' && more.length === 0 ? [name, second!] : [name];
}

async function writable(storage: RegistryStorage, name: string): Promise<string> {
  const names = candidates(name);
  for (const candidate of names) if ((await storage.tags(candidate)) !== undefined) return candidate;
  // The name of the same image over v2.
  return names.find((candidate) => !candidate.startsWith('library/')) ?? name;
}

async function tagsOf(
  images: V1Images,
  name: string,
): Promise<{ readonly repository: string; readonly tags: ReadonlyMap<string, string> }> {
  for (const repository of candidates(name)) {
    const tags = await images.tags(repository);
    if (tags !== undefined) return { repository, tags };
  }
  throw v1Error(404, 'Repository not found');
}

/** The registry is its own index, so the endpoint is the host of the request. */
function endpoints({ request }: Exchange): Record<string, string> {
  const { host } = request.headers;
  return host !== undefined && /^[\w.:[\]-]+$/.test(host) ? { 'X-Docker-Endpoints': host } : {};
}

async function readJson(exchange: Exchange): Promise<unknown> {
  const bytes = await readBody(exchange, MAX_BODY_BYTES);
  if (bytes === undefined) throw v1Error(413, 'The body is too large');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw v1Error(400, 'Invalid data: not JSON');
  }
}

function number(text: string | null, otherwise: number, limit: number): number {
  const value = /^\d{1,9}$/.test(text ?? '') ? Number(text) : otherwise;
  return Math.min(Math.max(1, value), limit);
}
