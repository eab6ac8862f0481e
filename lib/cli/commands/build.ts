import type { Readable } from 'node:stream';
import { UsageError } from '../../errors.js';
import type { BuildCheck, BuildOptions, BuiltImage } from '../../imgtool/index.js';
import { sizeOf } from '../ci/size-of.js';
import type { CommandContext, CommandExit, CommandResult, CommandTable, MadeImage } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { BUILD_OPTIONS, KANIKO_OPTIONS } from '../options/build.js';
import { writeResultFile } from './result-file.js';

export const build: CommandTable = {
  resumes: true,
  group: 'Images',
  summary: 'build an image from a Dockerfile',
  description:
    'Each step is a snapshot, and is taken from the cache if its instruction, its files and the steps before are the same. ' +
    'Prints the image ID; of several platforms, the digest of their index. CONTEXT is a directory, a tar, the URL of one, a git repository, or - for a tar on standard ' +
    'input. With SOURCE_DATE_EPOCH set, the same files give the same image everywhere.',
  arguments: [{ name: 'CONTEXT', summary: 'the files that COPY takes', optional: true, completes: 'directory' }],
  options: [...BUILD_OPTIONS, ...KANIKO_OPTIONS],
  examples: [
    { command: 'imgtool build -t localhost:5000/app:2 --push .', does: 'build and push' },
    {
      command: 'imgtool build --platform linux/amd64,linux/arm64 -t localhost:5000/app:2 --push .',
      does: 'build for two platforms and push their index',
    },
    { command: 'imgtool build --target test --build-arg VERSION=2 .', does: 'build a stage with an argument' },
    { command: 'imgtool build --secret id=npmrc,src=$HOME/.npmrc -t app .', does: 'with a secret that no layer holds' },
  ],
  async run(context) {
    const { options, imgtool } = context;
    const place = contextOf(context);
    const how = await optionsOf(context, place);
    if (options.flag('check')) return checked(context, await imgtool.checkBuild(place, how));
    const result = await imgtool.build(place, how);
    await writeFiles(context, result);
    return {
      json: result,
      text: [result.id],
      made: madeOf(result, options.flag('push')),
      steps: result.steps.map(({ text, cached, ...step }) => ({ ...step, name: text, isCached: cached })),
      findings: result.warnings,
    };
  },
};

function madeOf({ id, digest, names, layers }: BuiltImage, isPushed: boolean): MadeImage[] {
  const did = isPushed ? 'built and pushed' : 'built';
  return (names.length === 0 ? [id] : names).map((image) => ({ image, digest, did, size: sizeOf(layers) }));
}

function contextOf({ args, options }: CommandContext): string | undefined {
  const kaniko = options.text('context');
  const [given] = args;
  if (given !== undefined && kaniko !== undefined) throw new UsageError('both CONTEXT and --context are given');
  // A Dockerfile from standard input may need no context.
  return given ?? kaniko?.replace(/^(?:dir|tar):\/\//, '') ?? (options.text('file') === '-' ? undefined : '.');
}

async function optionsOf(context: CommandContext, place: string | undefined): Promise<BuildOptions> {
  const { options, signal, input } = context;
  const file = options.text('file') ?? options.text('dockerfile');
  if (file === '-' && place === '-')
    throw new UsageError('the Dockerfile and the context cannot both be standard input', {
      hint: 'a tar as context may hold the Dockerfile',
    });
  const network = options.text('network');
  const filter = options.list('no-cache-filter');
  const noCache = options.flag('no-cache') || !options.flag('cache');
  const destinations = options.list('destination');
  const tarPath = options.text('tar-path');
  return {
    ...(file === '-' ? { dockerfile: await bytesOf(input()) } : { file }),
    ...(place === '-' ? { stdin: input() } : {}),
    tags: [...options.list('tag'), ...destinations],
    ignoreFile: options.text('ignorefile'),
    target: options.text('target'),
    buildArgs: options.list('build-arg'),
    buildContexts: options.list('build-context'),
    secrets: options.list('secret'),
    ssh: options.list('ssh'),
    labels: options.list('label'),
    annotations: options.list('annotation'),
    platforms: options.list('platform'),
    noCache: noCache || (filter.length > 0 ? filter : false),
    cacheTtl: options.text('cache-ttl'),
    cacheFrom: [...options.list('cache-from'), ...options.list('cache-repo')],
    cacheTo: [...options.list('cache-to'), ...options.list('cache-repo')],
    cacheMounts: options.flag('cache-mounts'),
    // Without a value, --pull is true.
    pull: (options.word('pull') ?? (options.flag('pull') ? 'always' : 'missing')) as BuildOptions['pull'],
    jobs: options.number('jobs'),
    network: network === 'none' ? 'none' : 'host',
    addHosts: options.list('add-host'),
    ulimits: options.list('ulimit'),
    shmSize: options.number('shm-size'),
    squash: options.flag('squash'),
    format: options.text('format') as BuildOptions['format'],
    outputs: [...options.list('output'), ...(tarPath === undefined ? [] : [`type=docker,dest=${tarPath}`])],
    push: options.flag('push') || (destinations.length > 0 && !options.flag('no-push')),
    keepFailed: options.flag('keep-failed'),
    explain: options.flag('explain'),
    runtime: options.text('runtime'),
    reserve: options.number('reserve'),
    signal,
  };
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function writeFiles({ options }: CommandContext, result: BuiltImage): Promise<void> {
  const built = 'the image is built, but its';
  await writeResultFile(options.text('iidfile'), result.id, `${built} ID`);
  await writeResultFile(options.text('digest-file'), result.digest, `${built} digest`);
  const metadata = {
    // An index has no config.
    ...(result.images === undefined ? { 'containerimage.config.digest': result.id } : {}),
    'containerimage.digest': result.digest,
    ...(result.names.length === 0 ? {} : { 'image.name': result.names.join(',') }),
  };
  const text = `${JSON.stringify(metadata, undefined, 2)}\n`;
  await writeResultFile(options.text('metadata-file'), text, `${built} metadata`);
}

/** As in docker, warnings are failures only if the Dockerfile says so. */
function checked({ print }: CommandContext, { warnings, failed }: BuildCheck): CommandResult | CommandExit {
  const lines = warnings.map(({ file, line, rule, message }) => `${file}:${line}: ${rule}: ${message}`);
  const result = { json: { warnings }, text: lines.length === 0 ? ['no warnings'] : lines, findings: warnings };
  if (!failed) return result;
  print(result);
  return { exitCode: EXIT.usage };
}
