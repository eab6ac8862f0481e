import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LayerFormatError } from '../../../lib/errors.js';
import { listWithGnuTar } from '../../helpers/gnu-tar.js';
import { padded, paxRecord, tarHeader } from '../../helpers/tar-writer.js';
import { gnuLines, listMembers, type ListedMember } from './list-members.js';

const END = Buffer.alloc(1024);
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const concat = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

/** A header with bytes put over fields; `offset` → bytes. Its checksum is right. */
function header(
  patches: Readonly<Record<number, Buffer>>,
  fields: Partial<Parameters<typeof tarHeader>[0]> = {},
): Buffer {
  const block = tarHeader({ path: 'f', flag: '0', mode: 0o644, size: 0, seconds: 1_700_000_000, ...fields });
  for (const [offset, patch] of Object.entries(patches)) patch.copy(block, Number(offset));
  return withChecksum(block);
}

function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function extension(flag: 'x' | 'g' | 'L' | 'K', body: Buffer): Buffer {
  return concat(tarHeader({ path: 'extension', flag, mode: 0o644, size: body.length }), padded(body));
}

const pax = (records: readonly (readonly [string, string])[], flag: 'x' | 'g' = 'x'): Buffer =>
  extension(flag, concat(...records.map(([key, value]) => paxRecord(key, bytes(value)))));

const OFFSET = {
  name: 0,
  mode: 100,
  uid: 108,
  gid: 116,
  size: 124,
  mtime: 136,
  magic: 257,
  major: 329,
  minor: 337,
  prefix: 345,
} as const;
const PLAIN = header({});
const last = (archive: Buffer): ListedMember => listMembers(archive).at(-1)!;

describe('TarReader: numbers', () => {
  const MODES: Readonly<Record<string, number>> = {
    '0000644\0': 0o644,
    '000644 \0': 0o644,
    '   644 \0': 0o644,
    '644\0\0\0\0\0': 0o644,
    '00000644': 0o644,
    '0107777\0': 0o7777,
    '0100644\0': 0o644,
    '\0\0\0\0\0\0\0\0': 0,
    '        ': 0,
    '\x80\0\0\0\0\0\x01\xed': 0o755,
  };
  for (const [field, mode] of Object.entries(MODES))
    it(`mode ${JSON.stringify(field)}`, () => {
      expect(last(concat(header({ [OFFSET.mode]: bytes(field) }), END)).mode).to.equal(mode);
    });

  const TIMES: Readonly<Record<string, bigint>> = {
    '14524770400\0': 0o14524770400n,
    '777777777777': 0o777777777777n,
    '\x80\0\0\0\0\0\0\x02\0\0\0\0': 0x2_0000_0000n,
    '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb': -5n,
    '           0': 0n,
  };
  for (const [field, seconds] of Object.entries(TIMES))
    it(`mtime ${JSON.stringify(field)}`, () => {
      const archive = concat(header({ [OFFSET.mtime]: bytes(field) }), END);
      expect(last(archive).mtime).to.equal(seconds * 1_000_000_000n);
      expect(listMembers(archive).map(({ line }) => line)).to.deep.equal(gnuLines(listWithGnuTar(archive).output));
    });

  const REFUSED: readonly (readonly [keyof typeof OFFSET, string])[] = [
    ['mode', '000064x\0'],
    ['mode', '0000648\0'],
    ['uid', '-000001\0'],
    ['uid', '\xff\xff\xff\xff\xff\xff\xff\xff'],
    ['uid', '\x80\0\0\x01\0\0\0\0'],
    ['gid', '0x00001\0'],
    ['size', '-0000000001\0'],
    ['size', '0000000000a\0'],
    ['size', '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'],
    ['size', '\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff'],
    ['size', '\0\0\0\0\0\0\0\0\0\0\0\0'],
    ['mtime', '\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff'],
  ];
  for (const [field, value] of REFUSED)
    it(`${field} ${JSON.stringify(value)}: refused`, () => {
      expect(() => listMembers(concat(header({ [OFFSET[field]]: bytes(value) }), END))).to.throw(LayerFormatError);
    });

  it('device numbers: up to 12 and 20 bits', () => {
    const device = (major: string, minor: string): Buffer =>
      concat(header({ [OFFSET.major]: bytes(major), [OFFSET.minor]: bytes(minor) }, { flag: '3' }), END);
    expect(last(device('0007777\0', '3777777\0')).line).to.include(' 4095,1048575 ');
    expect(() => listMembers(device('0010000\0', '0000000\0'))).to.throw(LayerFormatError);
    expect(() => listMembers(device('0000000\0', '4000000\0'))).to.throw(LayerFormatError);
  });

  it('the checksum: summed with signs too, as historic programs did; wrong: refused', () => {
    const block = header({ [OFFSET.name]: bytes('\xff\xfe') });
    let signed = 0;
    for (const [index, byte] of block.entries())
      signed += index >= 148 && index < 156 ? 0x20 : byte > 127 ? byte - 256 : byte;
    block.write(`${signed.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(last(concat(block, END)).name).to.equal('\xff\xfe');
    block[148]! ^= 1;
    expect(() => listMembers(concat(block, END))).to.throw(LayerFormatError);
  });
});

describe('TarReader: names and kinds', () => {
  const long = (length: number): string => 'n'.repeat(length);
  const CASES: Readonly<Record<string, { archive: Buffer; names: readonly string[] }>> = {
    'a name of 100 bytes without NUL': { archive: header({}, { path: long(100) }), names: [long(100)] },
    'a prefix': { archive: header({ [OFFSET.prefix]: bytes('some/where') }), names: ['some/where/f'] },
    'a prefix of 155 bytes and a name of 100': {
      archive: header({ [OFFSET.prefix]: bytes(long(155)) }, { path: long(100) }),
      names: [`${long(155)}/${long(100)}`],
    },
    'no prefix in GNU’s format, whatever lies there': {
      archive: header({ [OFFSET.magic]: bytes('ustar  \0'), [OFFSET.prefix]: bytes('14524770400\0') }),
      names: ['f'],
    },
    'no magic: v7': { archive: header({ [OFFSET.magic]: Buffer.alloc(8), [OFFSET.prefix]: bytes('x') }), names: ['f'] },
    'PAX over prefix and name': {
      archive: concat(pax([['path', 'of/pax']]), header({ [OFFSET.prefix]: bytes('p') })),
      names: ['of/pax'],
    },
    'the last of two records': {
      archive: concat(
        pax([
          ['path', 'one'],
          ['path', 'two'],
        ]),
        PLAIN,
      ),
      names: ['two'],
    },
    'an empty record takes it back': {
      archive: concat(
        pax([
          ['path', 'one'],
          ['path', ''],
        ]),
        PLAIN,
      ),
      names: ['f'],
    },
    'PAX for one member only': { archive: concat(pax([['path', 'one']]), PLAIN, PLAIN), names: ['one', 'f'] },
    'global, and one of its own': {
      archive: concat(pax([['path', 'all']], 'g'), PLAIN, pax([['path', 'own']]), PLAIN, PLAIN),
      names: ['all', 'own', 'all'],
    },
    'global, taken back by an own empty record': {
      archive: concat(pax([['path', 'all']], 'g'), pax([['path', '']]), PLAIN, PLAIN),
      names: ['f', 'all'],
    },
    'GNU long name, with and without NUL': {
      archive: concat(extension('L', bytes(`${long(300)}\0`)), PLAIN, extension('L', bytes(long(512))), PLAIN, PLAIN),
      names: [long(300), long(512), 'f'],
    },
    'GNU long name and long link': {
      archive: concat(
        extension('K', bytes(`${long(200)}\0`)),
        extension('L', bytes(`${long(150)}\0`)),
        header({}, { flag: '2' }),
        header({}, { flag: '2', target: 'short' }),
      ),
      names: [long(150), 'f'],
    },
    'PAX records with spaces, newlines and = in the value': {
      archive: concat(
        pax([
          ['comment', 'a\nb'],
          ['path', ' a=b\n=c'],
        ]),
        PLAIN,
      ),
      names: [' a=b\n=c'],
    },
  };
  for (const [name, { archive, names }] of Object.entries(CASES))
    it(name, () => {
      const whole = concat(archive, END);
      const members = listMembers(whole);
      expect(members.map((member) => member.name)).to.deep.equal(names);
      const { status, output, errors } = listWithGnuTar(whole);
      expect(status, errors).to.equal(0);
      // GNU tar takes an empty path for a name.
      if (!/empty record/.test(name)) expect(members.map(({ line }) => line)).to.deep.equal(gnuLines(output));
    });

  it('historic flags: NUL and 7 are files, a slash at the end makes a directory', () => {
    const archive = concat(
      header({ 156: Buffer.alloc(1) }),
      header({}, { flag: '7' }),
      header({ 156: Buffer.alloc(1) }, { path: 'd/' }),
      header({}, { path: 'e/', flag: '0' }),
      END,
    );
    expect(listMembers(archive).map(({ line }) => line[0])).to.deep.equal(['-', '-', 'd', 'd']);
    const lines = gnuLines(listWithGnuTar(archive).output);
    expect(listMembers(archive).map(({ line }) => line)).to.deep.equal(lines);
  });

  for (const flag of ['M', 'N', 'A', 'X', '8', ' ', '\xff'])
    it(`the flag ${JSON.stringify(flag)}: refused`, () => {
      expect(() => listMembers(concat(header({}, { flag }), END))).to.throw(LayerFormatError);
    });

  it('an extended header at the end, its member missing: refused', () => {
    for (const last of [pax([['path', 'x']]), extension('L', bytes('x\0')), extension('K', bytes('x\0'))]) {
      expect(() => listMembers(concat(PLAIN, last)), 'without end').to.throw(LayerFormatError);
      expect(() => listMembers(concat(PLAIN, last, END)), 'with end').to.throw(LayerFormatError);
    }
  });
});

describe('TarReader: PAX values', () => {
  const member = (...records: readonly (readonly [string, string])[]): ListedMember =>
    last(concat(pax(records), PLAIN, END));

  const TIMES: Readonly<Record<string, bigint>> = {
    '1': 1_000_000_000n,
    '1.5': 1_500_000_000n,
    '0001.50': 1_500_000_000n,
    '1.': 1_000_000_000n,
    '1.123456789': 1_123_456_789n,
    '1.1234567899999': 1_123_456_789n,
    '-1': -1_000_000_000n,
    '-1.5': -1_500_000_000n,
    '-0.000000001': -1n,
    '-0.0000000001': -1n,
    '-0': 0n,
    '253402300800': 253_402_300_800_000_000_000n,
  };
  for (const [value, ns] of Object.entries(TIMES))
    it(`mtime ${value}`, () => {
      expect(member(['mtime', value]).mtime).to.equal(ns);
    });
  for (const value of ['x', '1.5x', '1e3', '.5', '- 1', '1.-5', '0x1', '99999999999999999999', '1.5.5', 'NaN'])
    it(`mtime ${value}: refused`, () => {
      expect(() => member(['mtime', value])).to.throw(LayerFormatError);
    });

  it('owners, sizes', () => {
    const { uid, gid } = member(['uid', '4294967294'], ['gid', '0'], ['uname', 'ignored']);
    expect([uid, gid]).to.deep.equal([4294967294, 0]);
    const archive = concat(pax([['size', '5']]), PLAIN, padded(bytes('12345')), PLAIN, END);
    expect(listMembers(archive).map(({ data }) => String(data))).to.deep.equal(['12345', '']);
  });

  it('extended attributes: SCHILY raw, LIBARCHIVE in base64 unless SCHILY has it, the last of two, GNU’s %3D', () => {
    const { xattrs } = member(
      ['SCHILY.xattr.user.raw', 'a=b\n\0\xff'],
      ['SCHILY.xattr.user.twice', '1'],
      ['SCHILY.xattr.user.twice', '2'],
      ['SCHILY.xattr.user.a%3Db%25c%41', 'name'],
      ['LIBARCHIVE.xattr.user.raw', 'bm90'],
      ['LIBARCHIVE.xattr.user.%6cib%20x', Buffer.from([1, 2, 255]).toString('base64')],
    );
    expect(xattrs).to.deep.equal({
      'user.raw': Buffer.from('a=b\n\0\xff', 'latin1').toString('hex'),
      'user.twice': '32',
      'user.a=b%c%41': '6e616d65',
      'user.lib x': '0102ff',
    });
  });

  const MALFORMED: readonly string[] = [
    '',
    'x',
    '5',
    '6 a=b\n\n',
    '07 a=bc',
    '6 a=bc',
    '5 a=b\n',
    '7 a=b\n',
    '6 =ab\n',
    '5 ab\n',
    '-6 a=b\n',
    '99999999999999999999 a=b\n',
    '6 a=b\n6 a=b',
    '0 a=b\n',
  ];
  for (const body of MALFORMED)
    it(`records ${JSON.stringify(body)}: refused, unless there are none`, () => {
      const archive = concat(extension('x', bytes(body)), PLAIN, END);
      if (body === '') expect(listMembers(archive)).to.have.length(1);
      else expect(() => listMembers(archive)).to.throw(LayerFormatError);
    });

  it('the same through windows of any size', () => {
    const archive = concat(
      pax([
        ['path', 'p'.repeat(2000)],
        ['SCHILY.xattr.user.a', 'v'.repeat(3000)],
      ]),
      header({}, { size: 1500 }),
      padded(Buffer.alloc(1500, 'd')),
      extension('L', bytes(`${'l'.repeat(700)}\0`)),
      header({}, { size: 512 }),
      Buffer.alloc(512, 'e'),
      header({ [OFFSET.prefix]: bytes('prefix') }, { flag: '2', target: 't' }),
      END,
    );
    const whole = listMembers(archive);
    for (const windowBytes of [512, 1024, 1536, 4096])
      expect(listMembers(archive, { windowBytes })).to.deep.equal(whole);
  });
});

describe('TarReader: archives of GNU tar', () => {
  let dir: string;
  before(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'imgtool-tar-'));
    const long = join(dir, 'd'.repeat(90), 'e'.repeat(90));
    fs.mkdirSync(long, { recursive: true });
    fs.writeFileSync(join(long, 'f'.repeat(120)), 'long');
    fs.writeFileSync(join(dir, 'small'), 'small');
    fs.symlinkSync('t'.repeat(150), join(dir, 'link'));
    fs.linkSync(join(dir, 'small'), join(dir, 'hard'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    fs.utimesSync(join(dir, 'small'), 1_600_000_000, 1_600_000_000.25);
    fs.chownSync(join(dir, 'fifo'), 3_000_000, 5);
    sparse('holes', 800_000, [
      [0, 1000],
      [300_000, 5000],
      [700_000, 4096],
    ]);
    sparse('hole-at-the-end', 1_000_000, [[0, 10]]);
    sparse('only-a-hole', 500_000, []);
    sparse(
      'many',
      6_000_000,
      Array.from({ length: 60 }, (_, index): [number, number] => [index * 16_384 + 4096, 4096]),
    );
    sparse('s'.repeat(120), 300_000, [[200_000, 100]]);
  });
  after(() => fs.rmSync(dir, { recursive: true, force: true }));

  function sparse(name: string, size: number, regions: readonly (readonly [number, number])[]): void {
    const fd = fs.openSync(join(dir, name), 'w');
    for (const [offset, length] of regions) fs.writeSync(fd, Buffer.alloc(length, name), 0, length, offset);
    fs.ftruncateSync(fd, size);
    fs.closeSync(fd);
  }

  const tar = (...options: readonly string[]): Buffer =>
    execFileSync('tar', ['-c', '--numeric-owner', '--sort=name', ...options, '-C', dir, '.'], { maxBuffer: 64 << 20 });

  const FORMATS: Readonly<Record<string, readonly string[]>> = {
    gnu: ['--format=gnu'],
    oldgnu: ['--format=oldgnu'],
    pax: ['--format=pax'],
    'gnu, sparse (old GNU headers)': ['--format=gnu', '--sparse'],
    'oldgnu, sparse': ['--format=oldgnu', '--sparse'],
    'pax, sparse 0.0': ['--format=pax', '--sparse-version=0.0'],
    'pax, sparse 0.1': ['--format=pax', '--sparse-version=0.1'],
    'pax, sparse 1.0': ['--format=pax', '--sparse-version=1.0'],
    'pax, sparse, holes sought by content': ['--format=pax', '--sparse', '--hole-detection=raw'],
  };
  for (const [name, options] of Object.entries(FORMATS))
    it(`${name}: the same members and contents`, () => {
      const archive = tar(...options);
      const { status, output, errors } = listWithGnuTar(archive);
      expect(status, errors).to.equal(0);
      const members = listMembers(archive);
      expect(members.map(({ line }) => line)).to.deep.equal(gnuLines(output));
      for (const { name: path, line, data } of members)
        if (line.startsWith('-')) expect(data.equals(fs.readFileSync(join(dir, path))), path).to.equal(true);
      const again = listMembers(archive, { windowBytes: 512 });
      expect(
        again.every(({ line, data }, index) => line === members[index]!.line && data.equals(members[index]!.data)),
      ).to.equal(true);
      if (options.some((option) => option.includes('sparse'))) expect(archive.length).to.be.lessThan(1_000_000);
    });

  it('ustar and v7, of what they can say', () => {
    for (const format of ['ustar', 'v7']) {
      const archive = execFileSync('tar', ['-c', `--format=${format}`, '--numeric-owner', '-C', dir, 'small', 'hard']);
      expect(listMembers(archive).map(({ line }) => line)).to.deep.equal(gnuLines(listWithGnuTar(archive).output));
    }
  });

  it('sparse maps that make no sense: refused', () => {
    const map = (value: string, size: string, stored: number): Buffer =>
      concat(
        pax([
          ['GNU.sparse.map', value],
          ['GNU.sparse.size', size],
        ]),
        header({}, { size: stored }),
        padded(Buffer.alloc(stored)),
        END,
      );
    expect(last(map('0,5,10,5', '20', 10)).size).to.equal(20);
    for (const archive of [
      map('10,5,0,5', '20', 10),
      map('0,5,3,5', '20', 10),
      map('0,5,10,5', '14', 10),
      map('0,5,10,5', '20', 9),
      map('0,5,10', '20', 5),
      map('0,5,10,-5', '20', 10),
      map('9007199254740991,9007199254740991', '20', 10),
      map('0,5,,5', '20', 10),
      concat(
        pax([
          ['GNU.sparse.major', '2'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '5'],
        ]),
        PLAIN,
        END,
      ),
      concat(
        pax([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
        ]),
        PLAIN,
        END,
      ),
      concat(
        pax([
          ['GNU.sparse.numbytes', '1'],
          ['GNU.sparse.offset', '1'],
          ['GNU.sparse.size', '5'],
        ]),
        PLAIN,
        END,
      ),
    ])
      expect(() => listMembers(archive)).to.throw(LayerFormatError);
  });
});
