import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { lint, parseDockerfile, type Dockerfile, type LintWarning } from '../dockerfile/index.js';
import { NotFoundError, UsageError } from '../errors.js';
import type { BuildRequest, BuildSources } from '../operations/index.js';
import {
  formatPlatform,
  hostPlatform,
  normalPlatform,
  parsePlatform,
  parseReference,
  type Platform,
} from '../spec/index.js';
import { closeAll, orCloseAll, parseAge } from '../util/index.js';
import { buildDrivers } from './build-drivers.js';
import { parsePairs, parseSecret, parseSsh } from './build-options.js';
import { bytesOf, checkText, type OptionKinds } from './check-options.js';
import {
  RESERVING,
  signalOf,
  sourceDateEpoch,
  spoolDirectory,
  STOPPABLE,
  type BuildReserving,
  type Stoppable,
} from './common.js';
import type { Drivers } from './drivers.js';
import { userCache } from './remote-build.js';
import { parseAddHost, parseUlimit } from './run-arguments.js';

export interface BuildOptions extends Stoppable, BuildReserving {
  /** Path of the Dockerfile; in the context if that is not a directory. Default: Containerfile or Dockerfile in the context. */
  readonly file?: string | undefined;
  /** Content of the Dockerfile, instead of `file`. */
  readonly dockerfile?: string | Uint8Array | undefined;
  /** Path of an ignore file. Default: the Dockerfile's own, else .dockerignore or .containerignore in the context. */
  readonly ignoreFile?: string | undefined;
  /** Names of the image. */
  readonly tags?: readonly string[] | undefined;
  /** Stage to build, by name or number. Default: the last one. */
  readonly target?: string | undefined;
  /** `NAME=VALUE`, or `NAME` for its value in the environment. */
  readonly buildArgs?: readonly string[] | undefined;
  /** `NAME=DIRECTORY`, or an image: `NAME=docker-image://REF`. */
  readonly buildContexts?: readonly string[] | undefined;
  /** `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`. */
  readonly secrets?: readonly string[] | undefined;
  /** `default`, or `NAME=SOCKET`. */
  readonly ssh?: readonly string[] | undefined;
  /** `NAME=VALUE`, for the config. */
  readonly labels?: readonly string[] | undefined;
  /** `NAME=VALUE`, for the manifest. */
  readonly annotations?: readonly string[] | undefined;
  /** `OS/ARCH[/VARIANT]`; several produce an index. Default: this machine's platform. */
  readonly platforms?: readonly string[] | undefined;
  /** True: use no cached steps. Stage names: use none for these stages. */
  readonly noCache?: boolean | readonly string[] | undefined;
  /** Rebuild steps whose cache entries are older: `24h`, `14d`. */
  readonly cacheTtl?: string | undefined;
  /** Repositories with cached steps of earlier builds: `HOST/REPOSITORY`. */
  readonly cacheFrom?: readonly string[] | undefined;
  /** Repositories in which to store the steps of this build. */
  readonly cacheTo?: readonly string[] | undefined;
  /** Also load cache mounts from those repositories and store them there. */
  readonly cacheMounts?: boolean | undefined;
  /** When to fetch base images. Default: `missing`. */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never' | undefined;
  /** Maximum number of concurrent steps. Default: 4. */
  readonly jobs?: number | undefined;
  /** Network of RUN. Default: `host`. */
  readonly network?: 'host' | 'none' | undefined;
  /** `NAME:ADDRESS` for /etc/hosts in RUN. */
  readonly addHosts?: readonly string[] | undefined;
  /** `NAME=SOFT[:HARD]`, such as `nofile=1024`. */
  readonly ulimits?: readonly string[] | undefined;
  /** Size of /dev/shm in RUN: bytes, or text such as `64MiB`. */
  readonly shmSize?: number | string | undefined;
  /** Merge all steps into one layer. */
  readonly squash?: boolean | undefined;
  /** Format of manifest and config. Default: `oci`. */
  readonly format?: 'oci' | 'docker' | undefined;
  /** Further destinations: `type=oci|docker|tar|local,dest=PATH`; a path alone is a directory for the files. */
  readonly outputs?: readonly string[] | undefined;
  /** Push the image under each of its names. */
  readonly push?: boolean | undefined;
  /** Keep the files of a failed RUN as a container. */
  readonly keepFailed?: boolean | undefined;
  /** Report for each step why it was not cached. */
  readonly explain?: boolean | undefined;
  /** Name or path of the OCI runtime. Default: crun or runc. */
  readonly runtime?: string | undefined;
  /** Input for a context or Dockerfile `-`. */
  readonly stdin?: Readable | undefined;
}

export const BUILD: OptionKinds<BuildOptions> = {
  ...{ ...STOPPABLE, ...RESERVING, file: 'text', dockerfile: 'any', ignoreFile: 'text', tags: 'texts', target: 'text' },
  ...{ buildArgs: 'texts', buildContexts: 'texts', secrets: 'texts', ssh: 'texts', labels: 'texts' },
  ...{
    annotations: 'texts',
    platforms: 'texts',
    noCache: 'any',
    cacheTtl: 'text',
    cacheFrom: 'texts',
    cacheTo: 'texts',
  },
  cacheMounts: 'flag',
  ...{ pull: ['missing', 'always', 'newer', 'never'], jobs: 'count', network: ['host', 'none'], addHosts: 'texts' },
  ...{ ulimits: 'texts', shmSize: 'size', squash: 'flag', format: ['oci', 'docker'], keepFailed: 'flag' },
  ...{ explain: 'flag', runtime: 'text', stdin: 'any', outputs: 'texts', push: 'flag' },
};

const JOBS = 4;
const DOCKERFILES = ['Containerfile', 'Dockerfile'];

/** A build that is ready to start; the caller closes it. */
export interface PreparedBuild {
  /** One per platform. */
  readonly requests: readonly BuildRequest[];
  readonly sources: BuildSources;
  readonly dockerfile: Dockerfile;
  readonly warnings: readonly LintWarning[];
  close(): Promise<void>;
}

/** Reads and checks the Dockerfile and the option values, whose types `BUILD` defines. Throws DockerfileError, UsageError, NotFoundError. */
export async function prepareBuild(
  drivers: Drivers,
  context: string | undefined,
  options: BuildOptions,
): Promise<PreparedBuild> {
  if (context !== undefined) checkText('build', 'the context', context);
  const signal = signalOf(options);
  const { env } = drivers.settings;
  const buildArgs = parsePairs('--build-arg', options.buildArgs ?? [], env);
  const epochArg = buildArgs.get('SOURCE_DATE_EPOCH');
  const epoch = sourceDateEpoch(epochArg === undefined ? env : { SOURCE_DATE_EPOCH: epochArg });
  const parts = buildDrivers(drivers.settings);
  const { createBuildSources } = await import('../operations/build-context/index.js');
  const sources = createBuildSources(parts, {
    context,
    stdin: options.stdin,
    contexts: parsePairs('--build-context', options.buildContexts ?? []),
    dockerfile: options.file,
    ignoreFile: options.ignoreFile,
    spoolDirectory: spoolDirectory(env),
    cacheDirectory: userCache(env),
    sourceDateEpoch: epoch,
    signal,
  });
  const close = (): Promise<void> => closeAll([() => sources.close(), () => parts.close()]);
  const prepare = async (): Promise<PreparedBuild> => {
    const { bytes, name, origin } = await readDockerfile(sources, context, options);
    const dockerfile = parseDockerfile(bytes, { file: name });
    const platforms = platformsOf(options);
    const requests = platforms.map((platform) =>
      requestOf(drivers, {
        ...{ options, dockerfile, buildArgs, platform, epoch, signal },
        origin: platforms.length === 1 ? origin : `${origin} ${formatPlatform(platform)}`,
      }),
    );
    const inputs = {
      ...{ buildArgs, buildPlatform: hostPlatform(), target: options.target },
      targetPlatform: platforms[0]!,
    };
    const ignore = context === undefined ? undefined : await sources.ignorePatterns();
    return { sources, requests, dockerfile, warnings: lint(dockerfile, { inputs, ignore }), close };
  };
  return orCloseAll(prepare, [close]);
}

/** The platforms to build for, without duplicates. Throws UsageError. */
export function platformsOf({ platforms = [] }: BuildOptions): Platform[] {
  const named = platforms.flatMap((text) => text.split(',')).map((text) => normalPlatform(parsePlatform(text.trim())));
  if (named.length === 0) return [normalPlatform(hostPlatform())];
  return [...new Map(named.map((platform) => [formatPlatform(platform), platform])).values()];
}

function requestOf(
  drivers: Drivers,
  {
    options,
    dockerfile,
    origin,
    buildArgs,
    platform,
    epoch,
    signal,
  }: {
    readonly options: BuildOptions;
    readonly dockerfile: Dockerfile;
    readonly origin: string;
    readonly buildArgs: ReadonlyMap<string, string>;
    readonly platform: Platform;
    readonly epoch: number | undefined;
    readonly signal: AbortSignal;
  },
): BuildRequest {
  const { env } = drivers.settings;
  return {
    ...{ dockerfile, origin, buildArgs, platform, signal, target: options.target },
    pull: options.pull ?? 'missing',
    noCache: noCacheOf(options.noCache),
    cacheTtlMs: options.cacheTtl === undefined ? undefined : parseAge(options.cacheTtl),
    jobs: options.jobs ?? JOBS,
    network: options.network ?? 'host',
    secrets: (options.secrets ?? []).map((text) => parseSecret(text, env)),
    ssh: new Map((options.ssh ?? []).map((text) => parseSsh(text, env))),
    addHosts: (options.addHosts ?? []).map(parseAddHost),
    processLimits: (options.ulimits ?? []).map(parseUlimit),
    shmSize: bytesOf(options.shmSize, undefined),
    runtime: options.runtime,
    labels: parsePairs('--label', options.labels ?? []),
    annotations: parsePairs('--annotation', options.annotations ?? []),
    references: (options.tags ?? []).map((tag) => parseReference(tag)),
    format: options.format ?? 'oci',
    squash: options.squash ?? false,
    keepFailed: options.keepFailed ?? false,
    explain: options.explain ?? false,
    sourceDateEpoch: epoch,
    reserveBytes: bytesOf(options.reserve, undefined),
  };
}

/** The Dockerfile's bytes; `origin` identifies it on this machine. Throws NotFoundError. */
async function readDockerfile(
  sources: BuildSources,
  context: string | undefined,
  { file, dockerfile }: BuildOptions,
): Promise<{ readonly bytes: Uint8Array; readonly name: string; readonly origin: string }> {
  if (dockerfile !== undefined) {
    if (typeof dockerfile === 'string') return { bytes: Buffer.from(dockerfile), name: 'Dockerfile', origin: '-' };
    if (dockerfile instanceof Uint8Array) return { bytes: dockerfile, name: 'Dockerfile', origin: '-' };
    throw new UsageError('build: the option dockerfile is no text');
  }
  const isDirectory = context !== undefined && existsSync(join(context, '.'));
  if (file !== undefined) {
    // As in docker, a path on this machine; if it does not exist, as in buildah, one in the context.
    const bytes =
      (await readIfThere(file)) ??
      (context === undefined || isAbsolute(file) ? undefined : await sources.readFile(file));
    if (bytes === undefined) throw noDockerfileError(file);
    return { bytes, name: fromHere(file), origin: resolve(file) };
  }
  if (context === undefined) throw noDockerfileError('Dockerfile');
  for (const name of DOCKERFILES) {
    const bytes = await sources.readFile(name);
    if (bytes === undefined) continue;
    if (!isDirectory) return { bytes, name, origin: `${context} ${name}` };
    return { bytes, name: fromHere(join(context, name)), origin: resolve(context, name) };
  }
  throw noDockerfileError(join(context, 'Dockerfile'));
}

/** The path for messages: relative if it is below the working directory, so that editors and CI systems find it. */
function fromHere(path: string): string {
  const relativePath = relative(process.cwd(), path);
  return relativePath.startsWith('../') ? path : relativePath;
}

function noDockerfileError(path: string): NotFoundError {
  return new NotFoundError(`there is no ${path}`, {
    kind: 'file',
    subject: path,
    hint: 'name the Dockerfile with --file, or give the directory that holds it as context',
  });
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new UsageError(`${path} cannot be read: ${code ?? (error as Error).message}`, { cause: error });
  }
}

function noCacheOf(value: BuildOptions['noCache']): BuildRequest['noCache'] {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  return value.map((name) => name.toLowerCase());
}
