import type { TagsOptions } from '../../imgtool/index.js';
import type { CommandTable } from '../command.js';
import { wholeNumber } from '../options/option.js';

export const tags: CommandTable = {
  group: 'Registries',
  summary: 'list the tags of a repository',
  arguments: [{ name: 'REPO', summary: 'HOST/REPOSITORY without tag' }],
  options: [
    {
      name: 'sort',
      value: 'BY',
      choices: ['registry', 'version', 'name'],
      default: 'registry',
      summary: 'sort order: registry (as listed), version (newest first, other tags last) or name',
    },
    { name: 'limit', value: 'N', parse: wholeNumber(1), summary: 'print at most N tags' },
  ],
  examples: [
    { command: 'imgtool tags localhost:5000/base', does: 'one tag per line' },
    { command: 'imgtool tags alpine --sort version --limit 5', does: 'the five newest versions' },
  ],
  async run({ args, options, signal, imgtool }) {
    const sort = options.text('sort') as TagsOptions['sort'];
    const list = await imgtool.tags(args[0]!, { sort, limit: options.number('limit'), signal });
    return { json: list, text: list };
  },
};

export const digest: CommandTable = {
  group: 'Registries',
  summary: 'print the digest of a reference at its registry',
  description: 'Takes one request. For an index, prints the digest of the index.',
  arguments: [{ name: 'REF', summary: 'HOST/REPOSITORY[:TAG]' }],
  options: [],
  examples: [{ command: 'imgtool digest alpine:3.20', does: 'the current digest of a tag' }],
  async run({ args, signal, imgtool }) {
    const found = await imgtool.digest(args[0]!, { signal });
    return { json: found, text: [found.digest] };
  },
};

export const search: CommandTable = {
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
  async run({ args, options, signal, imgtool }) {
    const found = await imgtool.search(args[0]!, args[1]!, { limit: options.number('limit'), signal });
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
