import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LayerFormatError } from '../../../lib/errors.js';
import { setXattr } from '../../../lib/sys/index.js';
import { listWithGnuTar } from '../../helpers/gnu-tar.js';
import { randomSource } from '../../helpers/random-source.js';
import { gnuLines, listMembers, type ListedMember } from './list-members.js';
import { mutate } from './mutations.js';

/** Archives per run; `npm run fuzz` sets more. */
const ROUNDS = Number(process.env.IMGTOOL_FUZZ_ROUNDS ?? 120);
const random = randomSource();

/** So that a seed gives the same archives again. */
const FIXED_TIMES = '--mtime=@1700000000.25';
const PAX = ['--format=pax', '--pax-option=atime:=1.5,ctime:=2'];

/** Archives of a small tree in all formats that GNU tar writes. */
function seeds(): Buffer[] {
  const dir = fs.mkdtempSync(join(tmpdir(), 'imgtool-fuzz-'));
  try {
    fs.mkdirSync(join(dir, 'd'.repeat(60), 'e'.repeat(70)), { recursive: true });
    fs.writeFileSync(join(dir, 'a'), 'content of a');
    fs.writeFileSync(join(dir, 'd'.repeat(60), 'e'.repeat(70), 'b'), Buffer.alloc(700, 'b'));
    fs.linkSync(join(dir, 'a'), join(dir, 'hard'));
    fs.symlinkSync('l'.repeat(120), join(dir, 'link'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    execFileSync('mknod', [join(dir, 'null'), 'c', '1', '3']);
    fs.chownSync(join(dir, 'null'), 3_000_000, 1);
    setXattr(join(dir, 'a'), 'user.x', Buffer.from([0, 10, 61]));
    const fd = fs.openSync(join(dir, 'sparse'), 'w');
    for (let index = 0; index < 7; index += 1) fs.writeSync(fd, Buffer.alloc(4096, 's'), 0, 512, index * 16_384);
    fs.closeSync(fd);
    const tar = (...options: readonly string[]): Buffer =>
      execFileSync('tar', ['-c', '--numeric-owner', '--sort=name', '-b1', FIXED_TIMES, ...options, '-C', dir, '.']);
    return [
      tar('--format=gnu'),
      tar('--format=gnu', '--sparse'),
      tar('--format=oldgnu', '--sparse'),
      tar(...PAX, '--xattrs'),
      ...['0.0', '0.1', '1.0'].map((version) => tar(...PAX, `--sparse-version=${version}`)),
      tar('--format=ustar', '--exclude=null', '--exclude=link'),
      tar('--format=v7', '--exclude=null', '--exclude=link', '--exclude=fifo', '--exclude=d*'),
    ];
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** What is different on purpose, so that GNU tar's listing is no judge; undefined: it is one. */
function exception(archive: Buffer, members: readonly ListedMember[], errors: string): string | undefined {
  if (members.some(({ name, type, target }) => name === '' || (type === 0x31 && target === '')))
    return 'refused when it is unpacked';
  if (members.some(({ idleSize }) => idleSize === 'hard link') && errors.includes('Skipping to next header'))
    return 'data of a hard link, which POSIX allows';
  if (members.some(({ idleSize }) => idleSize === 'other'))
    return 'data of what has none: GNU tar lists it and does not unpack it';
  if (archive.includes('size=') && members.some(({ type }) => type !== 0x30)) return 'the same, by PAX';
  if (members.some(({ name, type }) => name.endsWith('/') && type !== 0x35))
    return 'a file whose name ends with a slash: GNU tar takes it for a directory';
  if (archive.length === 0) return 'a layer of no byte is an empty one';
  if (archive.length % 512 > 0 && /^tar: Unexpected EOF in archive$/m.test(errors))
    return 'the padding of its last member is missing, as umoci and Go allow';
  if (errors.includes('Blanks in header')) return 'an empty number is 0';
  if (members.some(({ mtime }) => mtime < -60_000_000_000_000_000_000n || mtime > 250_000_000_000_000_000_000n))
    return 'a time that is printed another way';
  return undefined;
}

/** What GNU tar says of archives that it reads all the same. */
const COMPLAINTS = [
  // Of header numbers in whose place PAX puts others.
  /where numeric (time|uid|gid|off)_t value expected$/,
  /is out of \S+ range.*$/,
  /Malformed extended header: invalid [ac]time=/,
  /Archive contains obsolescent base-64 headers$/,
  /A lone zero block at/,
  /Exiting with failure status/,
];

function onlyComplaints(errors: string): boolean {
  // A keyword may hold newlines.
  const known = errors.replace(/tar: Ignoring unknown extended header keyword '[^']*'\n/g, '');
  const lines = known.split('\n').filter((line) => line !== '');
  return lines.every((line) => COMPLAINTS.some((complaint) => complaint.test(line)));
}

describe(`TarReader against GNU tar (IMGTOOL_TEST_SEED=${random.seed}, ${ROUNDS} archives)`, () => {
  it('changed archives: the same members, or refused', function () {
    this.timeout(0);
    const archives = seeds();
    let accepted = 0;
    let judged = 0;
    for (const archive of archives)
      expect(listMembers(archive).map(({ line }) => line)).to.deep.equal(gnuLines(listWithGnuTar(archive).output));
    for (let round = 0; round < ROUNDS; round += 1) {
      const archive = mutate(archives[random.below(archives.length)]!, random);
      let members: ListedMember[];
      try {
        members = listMembers(archive, { data: false });
      } catch (error) {
        if (error instanceof LayerFormatError) continue;
        throw error;
      }
      accepted += 1;
      const { status, output, errors } = listWithGnuTar(archive);
      if (exception(archive, members, errors) !== undefined) continue;
      judged += 1;
      const got = members.map(({ line }) => line);
      const want = gnuLines(output);
      if ((status === 0 || onlyComplaints(errors)) && got.join('\n') === want.join('\n')) continue;
      expect({ status, errors, lines: got }, `round ${round}`).to.deep.equal({
        status: 0,
        errors: '',
        lines: want,
      });
    }
    expect(accepted, 'archives accepted').to.be.greaterThan(ROUNDS / 10);
    expect(judged, 'archives compared').to.be.greaterThan(ROUNDS / 20);
  });
});
