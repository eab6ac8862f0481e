import { NotFoundError } from '../errors.js';
import { listImages as imagesOfStore, type ImageSummary } from '../operations/store/index.js';
import { digestHex, familiarReference, formatReference, parseReference } from '../spec/index.js';
import { compareText } from '../util/index.js';
import { checkOptions, checkText, type OptionKinds } from './check-options.js';
import type { Drivers } from './drivers.js';
import { booleanFilter, labelsMatch, parseFilters, timeFilter, type Filters } from './filters.js';

const SORTS = ['pulled', 'created', 'id', 'repository', 'size', 'tag'] as const;

export interface ListImagesOptions {
  /**
   * Conditions in docker's syntax: `reference=PATTERN`, `before=IMAGE`, `since=IMAGE`, `until=TIME`, `label=KEY[=VALUE]`,
   * `dangling=true`, `id=ID`, `digest=DIGEST`, `containers=true`. `reference` keeps only the matching names.
   */
  readonly filters?: readonly string[] | undefined;
  /** Times and sizes sort newest and largest first; other fields as text. Default: `pulled`. */
  readonly sort?: (typeof SORTS)[number] | undefined;
  /** Also reads the labels. */
  readonly labels?: boolean | undefined;
}

const LIST: OptionKinds<ListImagesOptions> = { filters: 'texts', sort: SORTS, labels: 'flag' };
const KEYS = [
  ...(['reference', 'before', 'since', 'after', 'until', 'label', 'label!'] as const),
  ...(['dangling', 'id', 'digest', 'containers'] as const),
];
type ImageFilters = Filters<(typeof KEYS)[number]>;

export async function listImages(
  drivers: Drivers,
  pattern: string | undefined,
  given: ListImagesOptions,
): Promise<ImageSummary[]> {
  if (pattern !== undefined) checkText('images', 'the filter', pattern);
  const options = checkOptions('images', given, LIST);
  const filters = parseFilters('images', options.filters ?? [], KEYS);
  const needsLabels = options.labels === true || filters.has('label') || filters.has('label!');
  const deps = await drivers.records();
  if (deps === undefined) return [];
  const all = await imagesOfStore(deps);
  const matching = pattern === undefined ? all : await imagesOfStore(deps, pattern);
  const read = needsLabels ? await withLabels(drivers, matching) : matching;
  const chosen = filterImages(read, filters, await bordersOf(drivers, all, filters));
  return sorted(chosen, options.sort ?? 'pulled');
}

/** The images with the labels of their configs. Throws InvalidManifestError, SizeMismatchError. */
async function withLabels(drivers: Drivers, images: readonly ImageSummary[]): Promise<ImageSummary[]> {
  const { readImageConfig } = await import('../operations/store/index.js');
  const deps = await drivers.local();
  const labelled: ImageSummary[] = [];
  for (const image of images) {
    const { config } = await readImageConfig(deps, image);
    labelled.push({ ...image, labels: config?.Labels ?? {} });
  }
  return labelled;
}

/** Creation times in ms since 1970; an image must be older than the first and newer than the second. */
interface Borders {
  readonly before: number;
  readonly since: number;
}

async function bordersOf(drivers: Drivers, all: readonly ImageSummary[], filters: ImageFilters): Promise<Borders> {
  const createdAt = async (name: string): Promise<number> => {
    const { findImage } = await import('../operations/store/index.js');
    const { record } = await findImage(await drivers.local(), name);
    const image = all.find(({ id }) => id === record.id);
    if (image !== undefined) return timeOf(image);
    throw new NotFoundError(`there is no image ${name} in the store`, { kind: 'image', subject: name });
  };
  const times = (names: readonly string[] = []): Promise<number[]> => Promise.all(names.map(createdAt));
  const until = (filters.get('until') ?? []).map((value) => timeFilter('until', value));
  return {
    before: Math.min(Infinity, ...(await times(filters.get('before'))), ...until),
    since: Math.max(-Infinity, ...(await times(filters.get('since'))), ...(await times(filters.get('after')))),
  };
}

function filterImages(
  images: readonly ImageSummary[],
  filters: ImageFilters,
  { before, since }: Borders,
): ImageSummary[] {
  const patterns = filters.get('reference')?.map(referencePattern);
  const dangling = booleanFilter('dangling', filters.get('dangling'));
  const used = booleanFilter('containers', filters.get('containers'));
  const isOneOf = (values: readonly string[] | undefined, digest: string): boolean =>
    values?.some((value) => digest.startsWith(value) || digest.slice('sha256:'.length).startsWith(value)) ?? true;
  return images.flatMap((image) => {
    const names = image.names.filter((name) => patterns?.some((pattern) => namesIt(pattern, name)) ?? true);
    const isChosen =
      (patterns === undefined || names.length > 0) &&
      (dangling === undefined || dangling === (image.names.length === 0)) &&
      (used === undefined || used === image.containers > 0) &&
      isOneOf(filters.get('id'), image.id) &&
      isOneOf(filters.get('digest'), image.digest) &&
      (before === Infinity || timeOf(image) < before) &&
      (since === -Infinity || timeOf(image) > since) &&
      labelsMatch(image.labels ?? {}, { present: filters.get('label'), absent: filters.get('label!') });
    return isChosen ? [{ ...image, names }] : [];
  });
}

function timeOf({ created }: ImageSummary): number {
  const time = Date.parse(created ?? '');
  return Number.isNaN(time) ? 0 : time;
}

/** `*` and `?` match within one part of a name, as in docker and podman. */
function referencePattern(text: string): RegExp {
  const source = text
    .replace(/[\\^$.|+(){}]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  try {
    return new RegExp(`^${source}$`);
  } catch {
    return new RegExp(`^${text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&')}$`);
  }
}

/** A pattern matches the full name, its usual short form, or the end of it from any part on, with or without tag. */
function namesIt(pattern: RegExp, name: string): boolean {
  const reference = parseReference(name);
  const full = formatReference(reference);
  const parts = full.split('/');
  const endings = [familiarReference(reference), ...parts.map((_, index) => parts.slice(index).join('/'))];
  return endings.some((ending) => pattern.test(ending) || pattern.test(ending.replace(/[:@][^/]*$/, '')));
}

function sorted(images: readonly ImageSummary[], by: (typeof SORTS)[number]): ImageSummary[] {
  const nameOf = ({ names }: ImageSummary): string => names[0] ?? '';
  const tagOf = (image: ImageSummary): string => /:([^/:]*)$/.exec(nameOf(image))?.[1] ?? '';
  const compare = {
    pulled: () => 0,
    created: (a: ImageSummary, b: ImageSummary) => timeOf(b) - timeOf(a),
    id: (a: ImageSummary, b: ImageSummary) => compareText(digestHex(a.id), digestHex(b.id)),
    repository: (a: ImageSummary, b: ImageSummary) => compareText(nameOf(a), nameOf(b)),
    size: (a: ImageSummary, b: ImageSummary) => b.size - a.size,
    tag: (a: ImageSummary, b: ImageSummary) => compareText(tagOf(a), tagOf(b)),
  }[by];
  return images.toSorted(compare);
}
