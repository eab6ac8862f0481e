import { ArchiveFormatError, InvalidReferenceError } from '../errors.js';
import { formatReference, parseJson, parseReference } from '../spec/index.js';
import { readSmall, type FileTree } from './file-tree.js';
import { checkNameCounts, MAX_IMAGES, MAX_LAYERS, MAX_LISTING_BYTES } from './limits.js';
import { memberName } from './member-name.js';

/** One entry of `manifest.json`, with paths in the archive. */
export interface DockerListing {
  readonly config: string;
  /** Full references. */
  readonly names: readonly string[];
  /** Oldest first. */
  readonly layers: readonly string[];
}

/** An entry of `manifest.json` as written; keys in docker's order. */
export interface DockerEntry {
  readonly Config: string;
  readonly RepoTags: string[];
  readonly Layers: readonly string[];
}

/** Moves a name to one of `entries` from the entry that had it. */
export function moveName(entries: Iterable<DockerEntry>, entry: DockerEntry, name: string): void {
  for (const { RepoTags: tags } of entries) if (tags.includes(name)) tags.splice(tags.indexOf(name), 1);
  entry.RepoTags.push(name);
}

/** Parses `manifest.json` (moby image/spec/v1.2.md). Throws ArchiveFormatError, PathEscapeError, InvalidManifestError. */
export async function readDockerListing(tree: FileTree): Promise<DockerListing[]> {
  const document = parseJson(await readSmall(tree, 'manifest.json', MAX_LISTING_BYTES), 'manifest.json');
  if (!Array.isArray(document)) throw new ArchiveFormatError(`manifest.json of ${tree.title} is not a list`);
  if (document.length > MAX_IMAGES) throw new ArchiveFormatError(`${tree.title} has over ${MAX_IMAGES} images`);
  const listings = document.map((entry: unknown, i) => parseEntry(entry, `manifest.json[${i}]`));
  checkNameCounts(
    tree.title,
    listings.map(({ names }) => names.length),
  );
  return listings;
}

/** The full references for each config path. Throws the errors of `readDockerListing`. */
export async function readDockerNames(tree: FileTree): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>();
  for (const entry of await readDockerListing(tree)) {
    names.set(entry.config, [...(names.get(entry.config) ?? []), ...entry.names]);
  }
  return names;
}

function parseEntry(entry: unknown, where: string): DockerListing {
  const { Config: config, RepoTags: tags, Layers: layers } = (entry ?? {}) as Record<string, unknown>;
  if (typeof config !== 'string' || !isStrings(layers ?? []) || !isStrings(tags ?? [])) {
    throw new ArchiveFormatError(`${where} lacks Config, RepoTags or Layers`, { entry: 'manifest.json' });
  }
  if (((layers ?? []) as string[]).length > MAX_LAYERS)
    throw new ArchiveFormatError(`${where} has over ${MAX_LAYERS} layers`, { entry: 'manifest.json' });
  return {
    config: memberName(config),
    names: [...new Set(((tags ?? []) as string[]).map((tag) => fullName(tag, where)))].sort(),
    layers: ((layers ?? []) as string[]).map(memberName),
  };
}

/** Validates a full reference. Throws ArchiveFormatError. */
export function fullName(tag: string, where: string): string {
  try {
    const { digest, ...reference } = parseReference(tag);
    if (digest === undefined) return formatReference(reference);
  } catch (error) {
    if (!(error instanceof InvalidReferenceError)) throw error;
  }
  throw new ArchiveFormatError(`${where} has an invalid name: ${JSON.stringify(tag.slice(0, 200))}`);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}
