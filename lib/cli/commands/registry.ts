import { parseReference, parseRepository } from '../../spec/index.js';
import type { CommandSpec } from '../command.js';
import { wholeNumber } from '../option.js';

export const tags: CommandSpec = {
  path: ['tags'],
  group: 'Registries',
  summary: 'list the tags of a repository',
  arguments: [{ name: 'REPO', summary: 'HOST/REPOSITORY without tag' }],
  options: [],
  examples: [{ command: 'imgtool tags localhost:5000/base', does: 'one tag per line' }],
  async run({ args, signal, compose }) {
    const repository = parseRepository(await compose.fullName(args[0]!));
    const { listTags } = await import('../../operations/index.js');
    const list = await listTags(await compose.remote(repository), repository, { signal });
    return { json: list, text: list };
  },
};

export const digest: CommandSpec = {
  path: ['digest'],
  group: 'Registries',
  summary: 'print the digest of a reference at its registry',
  description: 'Takes one request. For an index, prints the digest of the index.',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY[:TAG]' }],
  options: [],
  examples: [{ command: 'imgtool digest alpine:3.20', does: 'the current digest of a tag' }],
  async run({ args, signal, compose }) {
    const reference = parseReference(await compose.fullName(args[0]!));
    const { resolveDigest } = await import('../../operations/index.js');
    const {
      digest: found,
      mediaType,
      size,
    } = await resolveDigest(await compose.remote(reference), reference, { signal });
    return { json: { digest: found, mediaType, size }, text: [found] };
  },
};

export const search: CommandSpec = {
  path: ['search'],
  group: 'Registries',
  summary: 'search a registry for repositories',
  description: 'Uses the search of registry protocol v1, which Docker Hub and a few others still support.',
  arguments: [
    { name: 'HOST', summary: 'registry, such as docker.io' },
    { name: 'TERM', summary: 'search term' },
  ],
  options: [
    { name: 'limit', value: 'N', parse: wholeNumber(1), default: 25, summary: 'maximum number of results, up to 1000' },
  ],
  examples: [{ command: 'imgtool search docker.io busybox --limit 5', does: 'show names, stars and descriptions' }],
  async run({ args, options, signal, compose }) {
    const { host } = parseReference(`${args[0]!}/search`);
    const { searchRegistry } = await import('../../operations/index.js');
    const limit = Math.min(options.number('limit')!, 1000);
    const found = await searchRegistry(await compose.remote({ host }), { host, term: args[1]!, limit }, { signal });
    return {
      json: found,
      text: {
        columns: ['NAME', { title: 'STARS', align: 'right' }, 'OFFICIAL', 'DESCRIPTION'],
        rows: found.map(({ name, stars, official, description }) => [
          name,
          stars === undefined ? '' : String(stars),
          official ? 'yes' : '',
          description.replace(/\s+/g, ' ').trim(),
        ]),
      },
      quiet: found.map(({ name }) => name),
    };
  },
};
