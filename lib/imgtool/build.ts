import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import {
  lint,
  lintError,
  parseDockerfile,
  unusedArgs,
  type Dockerfile,
  type LintWarning,
} from '../dockerfile/index.js';
import { NotFoundError, UsageError } from '../errors.js';
import type { BuildRequest, BuildResult, BuildSources } from '../operations/index.js';
import { hostPlatform, parsePlatform, parseReference, type Platform } from '../spec/index.js';
import { parseAge } from '../util/index.js';
import { buildDrivers } from './build-drivers.js';
import { parsePairs, parseSecret, parseSsh } from './build-options.js';
import { parseOutput, pushNames, writeOutputs, type BuildOutput } from './build-outputs.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
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
import { buildRemote, keepSteps, lacksStore, openRemoteCache, remoteDestinations, userCache } from './remote-build.js';
import { parseAddHost, parseUlimit } from './run-arguments.js';

export interface BuildOptions extends Stoppable, BuildReserving {
  /** The Dockerfile: a path, or one in a context that is no directory. Default: Containerfile or Dockerfile in the context. */
  readonly file?: string | undefined;
  /** The Dockerfile itself, in place of `file`. */
  readonly dockerfile?: string | Uint8Array | undefined;
  /** Names of the image. */
  readonly tags?: readonly string[] | undefined;
  /** Stage to build, by name or number. Default: the last one. */
  readonly target?: string | undefined;
  /** `NAME=VALUE`, or `NAME` for its value here. */
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
  /** `OS/ARCH[/VARIANT]`. Default: that of this machine. */
  readonly platform?: string | undefined;
  /** True: no step is taken from the cache. Names of stages: none of theirs is. */
  readonly noCache?: boolean | readonly string[] | undefined;
  /** Steps that were built longer ago are built again: `24h`, `14d`. */
  readonly cacheTtl?: string | undefined;
  /** Repositories that may have steps of earlier builds: `HOST/REPOSITORY`. */
  readonly cacheFrom?: readonly string[] | undefined;
  /** Repositories to keep the steps of this build in. */
  readonly cacheTo?: readonly string[] | undefined;
  /** When base images are fetched. Default: `missing`. */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never' | undefined;
  /** Steps that run at the same time. Default: 4. */
  readonly jobs?: number | undefined;
  /** For RUN. Default: `host`. */
  readonly network?: 'host' | 'none' | undefined;
  /** `NAME:ADDRESS` for /etc/hosts of RUN. */
  readonly addHosts?: readonly string[] | undefined;
  /** `NAME=SOFT[:HARD]`, such as `nofile=1024`. */
  readonly ulimits?: readonly string[] | undefined;
  /** Bytes of /dev/shm in RUN, or text such as `64MiB`. */
  readonly shmSize?: number | string | undefined;
  /** One layer for all steps. */
  readonly squash?: boolean | undefined;
  /** Of manifest and config. Default: `oci`. */
  readonly format?: 'oci' | 'docker' | undefined;
  /** Also writes the result: `type=oci|docker|tar|local,dest=PATH`; a path alone is a directory of its files. */
  readonly outputs?: readonly string[] | undefined;
  /** Pushes the image to each of its names. */
  readonly push?: boolean | undefined;
  /** Leaves the files of a RUN that fails as a container. */
  readonly keepFailed?: boolean | undefined;
  /** Has each step say why it was not in the cache. */
  readonly explain?: boolean | undefined;
  /** Name or path of the OCI runtime. Default: crun or runc. */
  readonly runtime?: string | undefined;
  /** What a context `-` is read from. */
  readonly stdin?: Readable | undefined;
}

/** A built image, and what the lint rules say of its Dockerfile. */
export interface BuiltImage extends BuildResult {
  readonly warnings: readonly LintWarning[];
}

/** What the lint rules say of a Dockerfile; `failed`: it says itself that warnings are errors. */
export interface BuildCheck {
  readonly warnings: readonly LintWarning[];
  readonly failed: boolean;
}

const BUILD: OptionKinds<BuildOptions> = {
  ...{ ...STOPPABLE, ...RESERVING, file: 'text', dockerfile: 'any', tags: 'texts', target: 'text' },
  ...{ buildArgs: 'texts', buildContexts: 'texts', secrets: 'texts', ssh: 'texts', labels: 'texts' },
  ...{ annotations: 'texts', platform: 'text', noCache: 'any', cacheTtl: 'text', cacheFrom: 'texts', cacheTo: 'texts' },
  ...{ pull: ['missing', 'always', 'newer', 'never'], jobs: 'count', network: ['host', 'none'], addHosts: 'texts' },
  ...{ ulimits: 'texts', shmSize: 'size', squash: 'flag', format: ['oci', 'docker'], keepFailed: 'flag' },
  ...{ explain: 'flag', runtime: 'text', stdin: 'any', outputs: 'texts', push: 'flag' },
};

const JOBS = 4;
const DOCKERFILES = ['Containerfile', 'Dockerfile'];

/** Builds an image of a Dockerfile. `context`: undefined for a Dockerfile that copies nothing from it. */
export async function build(drivers: Drivers, context: string | undefined, given: BuildOptions): Promise<BuiltImage> {
  const outputs = (given.outputs ?? []).map(parseOutput);
  if (given.push === true && (given.tags ?? []).length === 0)
    throw new UsageError('there is no name to push the image to', { hint: 'give one with --tag HOST/REPOSITORY:TAG' });
  const prepared = await prepare(drivers, context, given);
  try {
    const { warnings, dockerfile } = prepared;
    for (const { file, line, rule, message } of warnings)
      drivers.progress.note(`warning: ${file}:${line}: ${message} (${rule})`);
    const error = lintError(dockerfile, warnings);
    if (error !== undefined) throw error;
    for (const name of unusedArgs(dockerfile, prepared.request.buildArgs.keys()))
      drivers.progress.note(`warning: --build-arg ${name} has no effect: ${dockerfile.file} has no ARG ${name}`);
    return { ...(await buildPrepared(drivers, prepared, { given, outputs })), warnings };
  } finally {
    await prepared.close();
  }
}

/** Builds in the way that does least: from the remote cache, without a store, in the store. */
async function buildPrepared(
  drivers: Drivers,
  { request, sources }: Pick<Awaited<ReturnType<typeof prepare>>, 'request' | 'sources'>,
  { given, outputs }: { readonly given: BuildOptions; readonly outputs: readonly BuildOutput[] },
): Promise<BuildResult> {
  const isPushed = given.push === true;
  const destinations = remoteDestinations(request, { outputs, push: isPushed });
  const repositories = { from: given.cacheFrom ?? [], to: given.cacheTo ?? [] };
  const cache = await openRemoteCache(drivers, sources, { request, destinations, repositories });
  try {
    const delivered = await cache?.deliver();
    if (delivered !== undefined) return delivered;
    if (destinations !== undefined && (await lacksStore(drivers))) {
      const built = await buildRemote(drivers, sources, { request, destinations, cache });
      if (built !== undefined) return built;
    }
    const { buildImage } = await import('../operations/build/index.js');
    const [unpacking, remote] = await Promise.all([drivers.unpacking(), drivers.remote()]);
    const imports = await cache?.imports(unpacking.createApplier);
    const result = await buildImage({ ...unpacking, ...remote }, sources, { ...request, ...imports });
    await writeOutputs(drivers, result, { outputs, signal: request.signal });
    if (isPushed) await pushNames(drivers, request);
    if (cache !== undefined) await keepSteps(drivers, cache, { result, request, isPushed });
    return result;
  } finally {
    await cache?.close();
  }
}

/** What the lint rules say of a Dockerfile; nothing is built. */
export async function checkBuild(
  drivers: Drivers,
  context: string | undefined,
  given: BuildOptions,
): Promise<BuildCheck> {
  const { warnings, dockerfile, close } = await prepare(drivers, context, given);
  await close();
  return { warnings, failed: lintError(dockerfile, warnings) !== undefined };
}

async function prepare(drivers: Drivers, context: string | undefined, given: BuildOptions) {
  if (context !== undefined) checkText('build', 'the context', context);
  const options = checkOptions('build', given, BUILD);
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
    spoolDirectory: spoolDirectory(env),
    cacheDirectory: userCache(env),
    sourceDateEpoch: epoch,
    signal,
  });
  const close = async (): Promise<void> => {
    await sources.close();
    await parts.close();
  };
  try {
    const { bytes, name, origin } = await readDockerfile(sources, context, options);
    const dockerfile = parseDockerfile(bytes, { file: name });
    const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
    const request = requestOf(drivers, { options, dockerfile, origin, buildArgs, platform, epoch, signal });
    const inputs = { buildArgs, buildPlatform: hostPlatform(), targetPlatform: platform, target: options.target };
    const ignore = context === undefined ? undefined : await sources.ignorePatterns();
    return { sources, request, dockerfile, warnings: lint(dockerfile, { inputs, ignore }), close };
  } catch (error) {
    await close();
    throw error;
  }
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

/** The Dockerfile's bytes; `origin` tells it from others on this machine. Throws NotFoundError. */
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
    // As docker: a path of this machine; as buildah: one in the context where there is none.
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

/** The path as messages name it, from the working directory for what lies below it: editors and CI systems find it so. */
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
