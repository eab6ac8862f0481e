import type { Imgtool } from '../../imgtool/index.js';
import { compareText } from '../../util/index.js';
import type { CommandSpec } from '../command.js';
import type { Completes } from '../completes.js';
import { configPaths, readConfigFiles, type ConfigFile } from '../config-file.js';
import { GLOBAL_OPTIONS } from '../options/global.js';
import { imgtoolFor } from '../imgtool-for.js';
import { Options, resolveOption, type ResolvedOption } from '../options/options.js';
import { archivePaths } from './archive-paths.js';
import { NameCache } from './name-cache.js';
import { readWords, type Cursor, type PartialLine } from './read-words.js';
import { registryNames, type RegistryNames } from './registry-names.js';
import { containerNames, hostsOfImages, imageNames, type Candidate } from './store-names.js';

/** Deadlines for registries and for the whole answer, in ms since the process started. Users notice a delay of a second. */
const REGISTRY_MS = 750;
const LIMIT_MS = 900;
/** Minimum time for each, on a machine so busy that the start used it all. */
const LEAST_MS = { [REGISTRY_MS]: 200, [LIMIT_MS]: 500 };
/** Registries choose the names, so only words without shell metacharacters are offered. */
const SAFE = /^[\w./:@=+,-]+$/;

/** Commonly published platforms. */
const PLATFORMS = [
  'linux/amd64',
  'linux/arm64',
  'linux/arm/v7',
  'linux/arm/v6',
  'linux/386',
  'linux/ppc64le',
  'linux/riscv64',
  'linux/s390x',
];
const FILE_TRANSPORTS = ['oci:', 'oci-archive:', 'docker-archive:'];
const TRANSPORTS = ['docker://', 'docker-v1://', 'store:', ...FILE_TRANSPORTS];

/**
 * Answers the scripts of `completionScript`. `words` are those after the program's name, the last one at the cursor.
 * The first line says what the shell adds itself (`files`, `directories` or `nothing`); then one word per line follows,
 * with a tab and a summary if there is one. Takes a second at most and never throws.
 */
export async function completionAnswer(
  words: readonly string[],
  { commands, env }: { readonly commands: readonly CommandSpec[]; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  const line = readWords(words, commands);
  const text = words.at(-1) ?? '';
  const found = await new Completer(line, env).candidates(text);
  const byValue = new Map(found.map((candidate) => [candidate.value, candidate]));
  const fitting = [...byValue.values()]
    .filter(({ value }) => value.startsWith(text) && SAFE.test(value))
    .sort((one, other) => compareText(one.value, other.value));
  const lines = fitting.map(({ value, summary }) => (summary === undefined ? value : `${value}\t${summary}`));
  return `${[shellAdds(line.cursor), ...lines].join('\n')}\n`;
}

function shellAdds(cursor: Cursor): 'files' | 'directories' | 'nothing' {
  const completes = cursor.kind === 'value' ? cursor.completes : [];
  return completes.includes('file') ? 'files' : completes.includes('directory') ? 'directories' : 'nothing';
}

class Completer {
  readonly #line: PartialLine;
  readonly #env: NodeJS.ProcessEnv;
  readonly #signal: AbortSignal;
  #opened: Promise<Imgtool> | undefined;

  constructor(line: PartialLine, env: NodeJS.ProcessEnv) {
    this.#line = line;
    this.#env = env;
    this.#signal = endAt(LIMIT_MS, env);
  }

  async candidates(text: string): Promise<readonly Candidate[]> {
    const { cursor } = this.#line;
    switch (cursor.kind) {
      case 'verb':
        return verbs(cursor);
      case 'flag':
        return flags(cursor);
      case 'value': {
        const value = text.slice(cursor.prefix.length);
        const lists = await Promise.all(
          cursor.completes.map((source) => this.#inTime(() => this.#from(source, value))),
        );
        const choices = cursor.choices.map((choice) => ({ value: choice }));
        return [...choices, ...lists.flat()].map(({ value, ...rest }) => ({ value: cursor.prefix + value, ...rest }));
      }
    }
  }

  async #from(source: Completes, text: string): Promise<readonly Candidate[]> {
    switch (source) {
      case 'image':
        // An argument that accepts images of the store often accepts those at registries too.
        return text.startsWith('docker') && text.includes('://')
          ? registryNames(text, this.#registries(), true)
          : imageNames(await this.#imgtool(), text);
      case 'container':
        return containerNames(await this.#imgtool(), text);
      case 'container-path':
        return (await containerNames(await this.#imgtool(), text)).map(({ value, ...rest }) => ({
          value: `${value}:`,
          ...rest,
        }));
      case 'reference':
        return this.#references(text);
      case 'repository':
        return registryNames(text, this.#registries(), false);
      case 'host':
        return (await this.#hosts()).map((value) => ({ value }));
      case 'transport':
        return this.#transports(text);
      case 'platform':
        return PLATFORMS.map((value) => ({ value }));
      case 'compression':
        return ['gzip', 'zstd'].map((value) => ({ value }));
      case 'command':
      case 'file':
      case 'directory':
      case 'none':
        return [];
    }
  }

  async #references(text: string): Promise<readonly Candidate[]> {
    const lists = await Promise.all([
      this.#inTime(async () => imageNames(await this.#imgtool(), text)),
      this.#inTime(() => registryNames(text, this.#registries(), true)),
    ]);
    return lists.flat();
  }

  async #transports(text: string): Promise<readonly Candidate[]> {
    const prefixed = (prefix: string, list: readonly Candidate[]): Candidate[] =>
      list.map(({ value, ...rest }) => ({ value: prefix + value, ...rest }));
    const file = FILE_TRANSPORTS.find((transport) => text.startsWith(transport));
    if (file !== undefined) return prefixed(file, await archivePaths(text.slice(file.length), this.#env));
    if (text.startsWith('store:')) {
      const name = text.slice('store:'.length);
      return prefixed('store:', await imageNames(await this.#imgtool(), name));
    }
    return [...TRANSPORTS.map((value) => ({ value })), ...(await registryNames(text, this.#registries(), true))];
  }

  #registries(): RegistryNames {
    const cache = new NameCache(this.#env);
    const signal = endAt(REGISTRY_MS, this.#env);
    const ask = async (key: string, list: (imgtool: Imgtool) => Promise<string[]>): Promise<readonly string[]> => {
      const imgtool = await this.#imgtool();
      const { creds, authfile, tlsVerify } = (await imgtool.drivers()).settings;
      // Results seen with these credentials are not cached for others.
      if (creds !== undefined) return list(imgtool);
      return cache.names([key, authfile ?? '', tlsVerify].join(' '), () => list(imgtool));
    };
    return {
      hosts: () => this.#inTime(() => this.#hosts()),
      repositories: (host) => ask(host, (imgtool) => imgtool.catalog(host, { signal })),
      tags: (repository) => ask(`${repository}:`, (imgtool) => imgtool.tags(repository, { signal })),
    };
  }

  /** Registries from logins and images. */
  async #hosts(): Promise<readonly string[]> {
    const imgtool = await this.#imgtool();
    const lists = await Promise.all([
      this.#inTime(async () => (await (await imgtool.drivers()).credentials()).hosts()),
      this.#inTime(() => hostsOfImages(imgtool)),
    ]);
    return [...new Set(lists.flat())];
  }

  /** Resolves with the result of `list`, or with [] when it fails or times out. */
  async #inTime<T>(list: () => Promise<readonly T[]>): Promise<readonly T[]> {
    const late = new Promise<readonly T[]>((resolve) =>
      this.#signal.addEventListener('abort', () => resolve([]), { once: true }),
    );
    return Promise.race([list().catch(() => []), late]);
  }

  /** The library with the valid global options from the line, variables and config files. */
  #imgtool(): Promise<Imgtool> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  async #open(): Promise<Imgtool> {
    const env = this.#env;
    const files = await readConfigFiles(configPaths(env)).catch((): ConfigFile[] => []);
    const flags = new Map([...this.#line.flags, ['retry', ['0']]]);
    const resolve = (spec: (typeof GLOBAL_OPTIONS)[number]): ResolvedOption => {
      try {
        return resolveOption(spec, [[]], { flags, env, files });
      } catch {
        return { spec, value: spec.default, origin: 'default' };
      }
    };
    const progress = { event: () => undefined, note: () => undefined };
    return imgtoolFor(new Options(GLOBAL_OPTIONS.map(resolve)), { files, progress, env });
  }
}

/** Aborts when the process is `ms` old, or after IMGTOOL_COMPLETION_TIMEOUT seconds if set for slow registries. */
function endAt(ms: keyof typeof LEAST_MS, { IMGTOOL_COMPLETION_TIMEOUT: given }: NodeJS.ProcessEnv): AbortSignal {
  const seconds = Number(given);
  if (seconds > 0 && seconds <= 60) return AbortSignal.timeout(seconds * 1000);
  return AbortSignal.timeout(Math.max(Math.round(ms - performance.now()), LEAST_MS[ms]));
}

function verbs({ commands, depth }: Cursor & { kind: 'verb' }): Candidate[] {
  const summaries = new Map<string, string | undefined>();
  for (const { path, aliases, summary } of commands) {
    const isGroup = path.length > depth + 1;
    for (const word of [path[depth]!, ...(depth === 0 ? aliases : [])])
      if (!summaries.has(word) || !isGroup) summaries.set(word, isGroup ? undefined : summary);
  }
  if (depth === 0) summaries.set('help', 'show help');
  return [...summaries].map(([value, summary]) => ({ value, ...(summary === undefined ? {} : { summary }) }));
}

function flags({ options }: Cursor & { kind: 'flag' }): Candidate[] {
  return [
    ...options.map(({ name, summary }) => ({ value: `--${name}`, summary })),
    { value: '--help', summary: 'show help and exit' },
  ];
}
