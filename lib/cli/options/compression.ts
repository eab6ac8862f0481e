import { UsageError } from '../../errors.js';
import { wholeNumber, type OptionSpec } from './option.js';
import type { Options } from './options.js';

/** Compression of layers: one option, or two as in podman and skopeo. */
export const COMPRESSION: readonly OptionSpec[] = [
  {
    name: 'compression',
    value: 'KIND[:LEVEL]',
    summary: 'gzip or zstd; layers already compressed this way are copied unchanged unless a level is given',
  },
  {
    name: 'compression-format',
    aliases: ['dest-compress-format'],
    value: 'KIND',
    choices: ['gzip', 'zstd'],
    summary: 'the KIND of --compression',
  },
  {
    name: 'compression-level',
    aliases: ['dest-compress-level'],
    value: 'LEVEL',
    parse: wholeNumber(0),
    summary: 'the LEVEL of --compression',
  },
];

/** These options as `KIND[:LEVEL]`. Throws UsageError when they contradict each other. */
export function compressionText(options: Options): string | undefined {
  const [text, kind, level] = [
    options.text('compression'),
    options.text('compression-format'),
    options.number('compression-level'),
  ];
  if (kind === undefined && level === undefined) return text;
  if (options.origin('compression') === 'flag')
    throw new UsageError('--compression says format and level already', {
      hint: 'write --compression zstd:19, or the two others',
    });
  return level === undefined ? kind : `${kind ?? 'gzip'}:${level}`;
}
