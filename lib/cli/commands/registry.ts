import { parseReference, parseRepository } from '../../spec/index.js';
import type { CommandSpec } from '../command.js';

export const tags: CommandSpec = {
  path: ['tags'],
  group: 'Registries',
  summary: 'list the tags of a repository',
  arguments: [{ name: 'REPO', summary: 'HOST/REPOSITORY without tag' }],
  options: [],
  examples: [{ command: 'imgtool tags localhost:5000/base', does: 'one tag a line' }],
  async run({ args, signal, compose }) {
    const repository = parseRepository(args[0]!);
    const { listTags } = await import('../../operations/index.js');
    const list = await listTags(await compose.remote(repository), repository, { signal });
    return { json: list, text: list };
  },
};

export const digest: CommandSpec = {
  path: ['digest'],
  group: 'Registries',
  summary: 'print the digest a reference has at its registry',
  description: 'One request; of an index it is the digest of the index.',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY[:TAG]' }],
  options: [],
  examples: [{ command: 'imgtool digest alpine:3.20', does: 'what the tag means today' }],
  async run({ args, signal, compose }) {
    const reference = parseReference(args[0]!);
    const { resolveDigest } = await import('../../operations/index.js');
    const {
      digest: found,
      mediaType,
      size,
    } = await resolveDigest(await compose.remote(reference), reference, { signal });
    return { json: { digest: found, mediaType, size }, text: [found] };
  },
};
