import { UsageError } from '../errors.js';
import type { ContainerSummary } from '../operations/index.js';
import type { ExecutionConfig } from '../spec/index.js';
import { compareText } from '../util/index.js';
import { checkOptions, type OptionKinds } from './check-options.js';
import type { Drivers } from './drivers.js';
import { labelsMatch, parseFilters, type Filters } from './filters.js';

const SORTS = ['created', 'id', 'image', 'names', 'size', 'status'] as const;

export interface ListContainersOptions {
  /**
   * Conditions in docker's syntax: `id=ID`, `name=REGEX`, `ancestor=IMAGE`, `status=running` (or `created`, `exited`,
   * `stopped`: nothing runs), `label=KEY[=VALUE]` (of the image), `before=CONTAINER`, `since=CONTAINER`.
   */
  readonly filters?: readonly string[] | undefined;
  /** `created`: newest first; `size`: largest first. Default: `created`. */
  readonly sort?: (typeof SORTS)[number] | undefined;
  /** Also reads the configs of the images. */
  readonly configs?: boolean | undefined;
}

/** A listed container, with its image's config if that was requested and the image is in the store. */
export interface ListedContainer extends ContainerSummary {
  readonly config?: ExecutionConfig;
}

const LIST: OptionKinds<ListContainersOptions> = { filters: 'texts', sort: SORTS, configs: 'flag' };
const KEYS = ['id', 'name', 'ancestor', 'status', 'label', 'label!', 'before', 'since'] as const;
type ContainerFilters = Filters<(typeof KEYS)[number]>;

const STATUSES: Readonly<Record<string, boolean | undefined>> = {
  running: true,
  ...{ created: false, exited: false, stopped: false, configured: false },
  // Valid states that containers here never have.
  ...{ paused: undefined, restarting: undefined, removing: undefined, dead: undefined },
};

export async function listContainers(drivers: Drivers, given: ListContainersOptions): Promise<ListedContainer[]> {
  const options = checkOptions('containers', given, LIST);
  const filters = parseFilters('containers', options.filters ?? [], KEYS);
  const needsConfigs = options.configs === true || filters.has('label') || filters.has('label!');
  const [operations, { findContainer }, deps] = await Promise.all([
    import('../operations/containers/index.js'),
    import('../operations/store/index.js'),
    drivers.localIfThere(),
  ]);
  if (deps === undefined) return [];
  const all = await operations.listContainers(deps);
  const configs = needsConfigs ? await configsOf(drivers, all) : new Map<string, ExecutionConfig>();
  const created = async (names: readonly string[] = []): Promise<string[]> =>
    Promise.all(names.map(async (name) => (await findContainer(deps, name)).created));
  const borders = { before: await created(filters.get('before')), since: await created(filters.get('since')) };
  const tests = conditionsOf(filters, borders);
  const list = all
    .map((container): ListedContainer => {
      const config = configs.get(container.image);
      return config === undefined ? container : { ...container, config };
    })
    .filter((container) => tests.every((test) => test(container)));
  const shown = options.configs === true ? list : list.map(({ config: _, ...container }) => container);
  return sorted(shown, options.sort ?? 'created');
}

/** Configs of the images in the store, by image ID. */
async function configsOf(
  drivers: Drivers,
  containers: readonly ContainerSummary[],
): Promise<Map<string, ExecutionConfig>> {
  const { readImageConfig } = await import('../operations/store/index.js');
  const deps = await drivers.local();
  const configs = new Map<string, ExecutionConfig>();
  for (const image of new Set(containers.filter(({ digest }) => digest !== null).map(({ image }) => image))) {
    const { config = {} } = await readImageConfig(deps, { id: image });
    configs.set(image, config);
  }
  return configs;
}

type Condition = (container: ListedContainer) => boolean;

function conditionsOf(
  filters: ContainerFilters,
  { before, since }: { readonly before: readonly string[]; readonly since: readonly string[] },
): Condition[] {
  const oneOf = <T>(
    values: readonly T[] | undefined,
    test: (container: ListedContainer, value: T) => boolean,
  ): Condition => (values === undefined ? () => true : (container) => values.some((value) => test(container, value)));
  return [
    oneOf(filters.get('id'), ({ id }, value) => id.startsWith(value)),
    oneOf(filters.get('name')?.map(regexOf), ({ names }, regex) => names.some((name) => regex.test(name))),
    oneOf(filters.get('ancestor'), isMadeOf),
    oneOf(filters.get('status')?.map(statusOf), ({ running }, status) => running === status),
    ({ created }) => before.every((time) => created < time) && since.every((time) => created > time),
    ({ config }) => labelsMatch(config?.Labels ?? {}, { present: filters.get('label'), absent: filters.get('label!') }),
  ];
}

function isMadeOf({ image, imageName }: ListedContainer, ancestor: string): boolean {
  if (/^(sha256:)?[0-9a-f]{4,64}$/.test(ancestor) && image.startsWith(`sha256:${ancestor.replace(/^sha256:/, '')}`))
    return true;
  const endings = [imageName, imageName.replace(/:[^/:]*$/, '')];
  return endings.some((name) => name === ancestor || name.endsWith(`/${ancestor}`));
}

function statusOf(text: string): boolean | undefined {
  if (Object.hasOwn(STATUSES, text)) return STATUSES[text];
  throw new UsageError(`the filter status does not take ${JSON.stringify(text.slice(0, 100))}`, {
    hint: `choose one of ${Object.keys(STATUSES).join(', ')}`,
  });
}

function regexOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`the filter name is no regular expression: ${(error as Error).message}`, { cause: error });
  }
}

function sorted(list: readonly ListedContainer[], by: (typeof SORTS)[number]): ListedContainer[] {
  const compare = {
    created: () => 0,
    id: (a: ListedContainer, b: ListedContainer) => compareText(a.id, b.id),
    image: (a: ListedContainer, b: ListedContainer) => compareText(a.imageName, b.imageName),
    names: (a: ListedContainer, b: ListedContainer) => compareText(a.names[0] ?? '', b.names[0] ?? ''),
    size: (a: ListedContainer, b: ListedContainer) => b.exclusiveSize - a.exclusiveSize,
    status: (a: ListedContainer, b: ListedContainer) => Number(b.running) - Number(a.running),
  }[by];
  return list.toSorted(compare);
}
