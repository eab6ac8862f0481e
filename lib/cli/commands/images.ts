import type { ListImagesOptions } from '../../imgtool/index.js';
import type { ImageSummary } from '../../operations/index.js';
import { familiarReference, parseReference } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import type { CommandTable } from '../command.js';
import { FORMAT, readFormat } from '../options/format.js';
import { shortDigest } from '../short-digest.js';
import type { Table } from '../table.js';
import { NO_HEADING } from '../options/common.js';
import { withoutEffect } from '../options/peers.js';

export const images: CommandTable = {
  group: 'Images',
  summary: 'list the images in the store',
  description:
    'SIZE is the unpacked size, EXCLUSIVE the part of it that no other image shares. With --quiet only IDs are printed.\n' +
    'Filters: reference=PATTERN, before=IMAGE, since=IMAGE, until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE], dangling=true, ' +
    'id=ID, digest=DIGEST, containers=true. Patterns match a name from any of its parts on, with the tag or without; * does not ' +
    'match a slash. Different filters must all match; of several for reference, id or digest one must match.\n' +
    'Fields of --format: .ID .Repository .Tag .Digest .CreatedSince .CreatedAt .Size .UniqueSize .SharedSize .Containers ' +
    '.Names .RepoTags .RepoDigests .Labels .Label .Platform .Dangling.',
  arguments: [
    {
      name: 'FILTER',
      summary: 'part of a name or the start of an ID; * matches anything',
      optional: true,
      completes: 'image',
    },
  ],
  options: [
    withoutEffect('all', 'there are no intermediate images, so all are listed', { short: 'a' }),
    { name: 'filter', short: 'f', value: 'KEY=VALUE', repeat: true, summary: 'only images that match; see above' },
    { name: 'digests', default: false, summary: 'show the digests of the manifests' },
    { name: 'no-trunc', default: false, summary: 'show full IDs and times' },
    FORMAT,
    NO_HEADING,
    {
      name: 'sort',
      value: 'BY',
      choices: ['pulled', 'created', 'id', 'repository', 'size', 'tag'],
      default: 'pulled',
      summary: 'order; the newest and the largest come first',
    },
  ],
  examples: [
    { command: 'imgtool images', does: 'list all images' },
    { command: "imgtool images 'alpine:*' --json", does: 'list the alpine images as JSON' },
    { command: "imgtool images --format '{{.Repository}}:{{.Tag}} {{.Size}}'", does: 'print chosen fields' },
    { command: 'imgtool images -q --filter dangling=true', does: 'IDs of the images without a name' },
  ],
  async run({ args, imgtool, options }) {
    const format = await readFormat(options.text('format'));
    const list = await imgtool.images(args[0], {
      filters: options.list('filter'),
      sort: options.text('sort') as ListImagesOptions['sort'],
      labels: format?.mentions('Labels', 'Label') ?? false,
    });
    const shape = { noTrunc: options.flag('no-trunc'), noHeading: options.flag('noheading') };
    if (format !== undefined && !options.flag('quiet')) {
      const { IMAGE_HEADINGS, imageRows } = await import('../views/image-row.js');
      const rows = list.flatMap((image) => imageRows(image, shape));
      return format.result(rows, { headings: IMAGE_HEADINGS, noHeading: shape.noHeading, json: list });
    }
    return {
      json: list,
      text: tableOf(list, { ...shape, digests: options.flag('digests') }),
      quiet: [...new Set(list.map(({ id }) => id))],
    };
  },
};

function tableOf(
  list: readonly ImageSummary[],
  shape: { readonly noTrunc: boolean; readonly noHeading: boolean; readonly digests: boolean },
): Table {
  const { noTrunc, noHeading, digests } = shape;
  return {
    noHeading,
    columns: [
      'NAME',
      ...(digests ? ['DIGEST'] : []),
      'IMAGE ID',
      'CREATED',
      { title: 'SIZE', align: 'right' },
      { title: 'EXCLUSIVE', align: 'right' },
    ],
    rows: list.flatMap((image) =>
      (image.names.length === 0 ? ['<none>'] : image.names.map(shortName)).map((name) => [
        name,
        ...(digests ? [image.digest] : []),
        noTrunc ? image.id : shortDigest(image.id),
        noTrunc ? (image.created ?? '-') : formatAge(image.created),
        formatSize(image.size),
        formatSize(image.exclusiveSize),
      ]),
    ),
  };
}

/** A name in the short form that people type. */
export function shortName(name: string): string {
  return familiarReference(parseReference(name));
}
