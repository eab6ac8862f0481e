import type { RandomSource } from '../../helpers/random-source.js';

/** Fields of a header block: offset and length. */
const FIELDS: readonly (readonly [offset: number, length: number])[] = [
  [0, 100],
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [148, 8],
  [156, 1],
  [157, 100],
  [257, 8],
  [329, 8],
  [337, 8],
  [345, 155],
  [386, 96],
  [482, 1],
  [483, 12],
];

const VALUES: readonly string[] = [
  '0',
  '1',
  '7',
  '\0',
  ' ',
  '00000000000\0',
  '00000000001\0',
  '00000001000\0',
  '77777777777\0',
  '-1\0',
  '+1\0',
  '  12 ',
  '8',
  '0x10\0',
  '\x80\0\0\0\0\0\0\0\0\0\x02\0',
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  '\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff',
  '../up',
  '/top',
  'dir/',
  './/.',
  'ustar\x0000',
  'ustar  \0',
];

const FLAGS = '01234567LKxgSDVMNXZ\0';

/** A copy of `archive` with one to four changes; most headers have right checksums again. */
export function mutate(archive: Buffer, { below }: RandomSource): Buffer {
  let out: Buffer = Buffer.from(archive);
  for (let count = 1 + below(4); count > 0; count -= 1) out = mutateOnce(out, below);
  return out;
}

function mutateOnce(archive: Buffer, below: RandomSource['below']): Buffer {
  const blocks = Math.max(1, Math.floor(archive.length / 512));
  const at = 512 * below(blocks);
  switch (below(12)) {
    case 0: {
      // A block twice, or gone, or two in each other's place.
      const rest = archive.subarray(at + 512);
      return Buffer.concat(
        [
          [archive.subarray(0, at + 512), archive.subarray(at, at + 512), rest],
          [archive.subarray(0, at), rest],
          [archive.subarray(0, at), rest.subarray(0, 512), archive.subarray(at, at + 512), rest.subarray(512)],
        ][below(3)]!,
      );
    }
    case 1:
      return archive.subarray(0, below(archive.length + 1));
    case 2:
      archive[below(archive.length)] = below(256);
      return archive;
    case 3:
      return mutateText(archive, below);
    default: {
      const header = headerNear(archive, at);
      mutateField(archive, header, below);
      if (below(20) > 0) fixChecksum(archive, header);
      return archive;
    }
  }
}

function mutateField(archive: Buffer, header: number, below: RandomSource['below']): void {
  const [offset, length] = FIELDS[below(FIELDS.length)]!;
  const start = header + offset;
  const field = archive.subarray(start, start + length);
  if (field.length === 0) return;
  switch (below(5)) {
    case 0:
      field[below(field.length)] = below(256);
      break;
    case 1:
      field[below(field.length)]! ^= 1 << below(8);
      break;
    case 2: {
      const other = FIELDS[below(FIELDS.length)]!;
      Buffer.from(archive.subarray(header + other[0], header + other[0] + other[1])).copy(field);
      break;
    }
    default:
      field.write(offset === 156 ? FLAGS[below(FLAGS.length)]! : VALUES[below(VALUES.length)]!, 'latin1');
  }
}

/** One digit, letter or sign of a PAX record or a name turned into another: lengths often stay right. */
function mutateText(archive: Buffer, below: RandomSource['below']): Buffer {
  const places: number[] = [];
  for (const needle of ['path=', 'size=', 'mtime=', 'GNU.sparse.', 'linkpath=', 'uid=', 'SCHILY.xattr'])
    for (let at = archive.indexOf(needle); at >= 0; at = archive.indexOf(needle, at + 1)) places.push(at);
  if (places.length === 0) return archive;
  const at = places[below(places.length)]! - 4 + below(40);
  if (at >= 0 && at < archive.length) archive[at] = '0123456789=,.-\n\0 ax/'.charCodeAt(below(21));
  return archive;
}

/** The header at or before `at`, or `at`. */
function headerNear(archive: Buffer, at: number): number {
  for (let place = at; place >= 0; place -= 512)
    if (archive.subarray(place + 257, place + 262).equals(Buffer.from('ustar'))) return place;
  return at;
}

function fixChecksum(archive: Buffer, at: number): void {
  const block = archive.subarray(at, at + 512);
  if (block.length < 512) return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
