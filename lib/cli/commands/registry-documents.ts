import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { parseReference } from '../../spec/index.js';
import { fileError } from '../../util/index.js';
import type { CommandContext, CommandResult, CommandTable } from '../command.js';

const REF = { name: 'REF', summary: 'HOST/REPOSITORY[:TAG][@DIGEST]' };
const BLOB = { name: 'REF', summary: 'HOST/REPOSITORY@DIGEST' };

export const catalog: CommandTable = {
  group: 'Registries',
  summary: 'list the repositories of a registry',
  description: 'Not all registries support this; the large public ones do not.',
  arguments: [{ name: 'HOST', summary: 'HOST[:PORT]' }],
  options: [],
  examples: [{ command: 'imgtool catalog localhost:5000', does: 'one repository per line' }],
  async run({ args, signal, imgtool }) {
    const list = await imgtool.catalog(args[0]!, { signal });
    return { json: list, text: list };
  },
};

export const manifestGet: CommandTable = {
  group: 'Registries',
  summary: 'print a manifest or index byte for byte',
  arguments: [REF],
  options: [],
  examples: [{ command: 'imgtool manifest get alpine:3.20 | sha256sum', does: 'compute its digest' }],
  async run({ args, signal, imgtool }) {
    return { bytes: (await imgtool.manifestGet(args[0]!, { signal })).bytes };
  },
};

export const manifestPut: CommandTable = {
  group: 'Registries',
  summary: 'publish a manifest or index byte for byte',
  description: 'The blobs and manifests that it names must be at the registry. Prints its digest.',
  arguments: [REF, { name: 'FILE', summary: 'file, or - for standard input', completes: 'file' }],
  options: [],
  examples: [{ command: 'imgtool manifest put localhost:5000/app:1 index.json', does: 'publish under a tag' }],
  async run({ args, signal, imgtool, input }) {
    const bytes = args[1] === '-' ? await buffer(input()) : await readBytes(args[1]!);
    const descriptor = await imgtool.manifestPut(args[0]!, bytes, { signal });
    return { json: descriptor, text: [descriptor.digest] };
  },
};

export const manifestDelete: CommandTable = {
  group: 'Registries',
  summary: 'remove a manifest and all its tags, like "imgtool delete"',
  arguments: [REF],
  options: [],
  examples: [{ command: 'imgtool manifest delete localhost:5000/app@sha256:…', does: 'remove by digest' }],
  run: (context) => removeManifest(context, { tagOnly: false, dryRun: false }),
};

export const deleteCommand: CommandTable = {
  group: 'Registries',
  summary: 'remove an image from a registry',
  description:
    'Removes the manifest and every tag that points to it, and prints those tags. Blobs stay until the registry ' +
    'collects them.',
  arguments: [REF],
  options: [
    { name: 'tag-only', default: false, summary: 'remove this tag only; other tags of the manifest stay' },
    { name: 'dry-run', default: false, summary: 'list what would be removed' },
  ],
  examples: [
    { command: 'imgtool delete localhost:5000/app:1 --dry-run', does: 'show which tags would be removed' },
    { command: 'imgtool delete localhost:5000/app:1 --tag-only', does: 'remove one tag' },
  ],
  run: (context) =>
    removeManifest(context, { tagOnly: context.options.flag('tag-only'), dryRun: context.options.flag('dry-run') }),
};

export const blobGet: CommandTable = {
  group: 'Registries',
  summary: 'write a blob to a file or standard output, and verify it',
  arguments: [BLOB],
  options: [{ name: 'output', short: 'o', value: 'FILE', summary: 'file to write; default: standard output' }],
  examples: [
    { command: 'imgtool blob get localhost:5000/app@sha256:… -o layer.tar.gz', does: 'save a layer as stored' },
  ],
  async run({ args, options, signal, imgtool, output }) {
    const path = options.text('output');
    if (path === undefined || path === '-') {
      await imgtool.blobGet(args[0]!, output(), { signal });
      return undefined;
    }
    await imgtool.blobGet(args[0]!, path, { signal });
    return { json: { digest: parseReference(args[0]!).digest, path }, text: [] };
  },
};

export const blobHead: CommandTable = {
  group: 'Registries',
  summary: 'check whether a repository has a blob, and print its size in bytes',
  arguments: [BLOB],
  options: [],
  examples: [{ command: 'imgtool blob head localhost:5000/app@sha256:…', does: 'exit code 3 if it is missing' }],
  async run({ args, signal, imgtool }) {
    const size = await imgtool.blobHead(args[0]!, { signal });
    return { json: { digest: parseReference(args[0]!).digest, size }, text: [String(size)] };
  },
};

export const referrers: CommandTable = {
  group: 'Registries',
  summary: 'list the referrers of an image: signatures, SBOMs, attestations',
  arguments: [REF],
  options: [],
  examples: [{ command: 'imgtool referrers localhost:5000/app:1', does: 'one digest and type per line' }],
  async run({ args, signal, imgtool }) {
    const list = await imgtool.referrers(args[0]!, { signal });
    return {
      json: list,
      text: list.map(({ digest, artifactType, mediaType }) => `${digest}  ${artifactType ?? mediaType}`),
      quiet: list.map(({ digest }) => digest),
    };
  },
};

async function removeManifest(
  { args, signal, imgtool, progress }: CommandContext,
  how: { readonly tagOnly: boolean; readonly dryRun: boolean },
): Promise<CommandResult> {
  const { digest, tags } = await imgtool.delete(args[0]!, { ...how, signal });
  const reference = parseReference(args[0]!);
  const name = `${reference.host}/${reference.repository}`;
  const others = tags.filter((tag) => tag !== reference.tag);
  if (others.length > 0) {
    progress.note(`${others.join(', ')} ${others.length === 1 ? 'loses its' : 'lose their'} manifest too`);
  }
  const lines = tags.map((tag) => `${name}:${tag}`);
  return {
    json: { digest, tags, removed: !how.dryRun },
    text: how.tagOnly || digest === null ? lines : [`${name}@${digest}`, ...lines],
  };
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, 'read', error);
  }
}
