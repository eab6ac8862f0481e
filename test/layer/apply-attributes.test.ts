import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { extractWithGnuTar } from '../helpers/gnu-tar.js';
import { APPLIERS, useLayerSandbox } from '../helpers/layer-sandbox.js';
import { writeTar, type TarEntry } from '../helpers/tar-writer.js';
import { expectSameTree, listTree, type TreeEntry } from '../helpers/tree-listing.js';

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const SECOND = 1_000_000_000n;
const DEFAULT_MTIME = 1_700_000_000n * SECOND;
const at = (seconds: bigint, nanos = 0n): bigint => seconds * SECOND + nanos;

/** Layers of one, without whiteouts: GNU tar must make the same tree of them. */
const AS_GNU_TAR: Readonly<Record<string, readonly TarEntry[]>> = {
  'modes and owners': [
    { path: 'd', type: 'dir', mode: 0o1777, uid: 1, gid: 2 },
    { path: 'd/none', mode: 0 },
    { path: 'd/all', mode: 0o7777, uid: 1000, gid: 1000 },
    { path: 'd/setuid', mode: 0o4755, uid: 1000 },
    { path: 'd/setgid', mode: 0o2755, gid: 1000 },
    { path: 'd/setuid-root', mode: 0o6711 },
    { path: 'd/large', uid: 3_000_000, gid: 4_000_000_000 },
    { path: 'd/fifo', type: 'fifo', mode: 0o4606, uid: 5, gid: 6 },
    { path: 'setgid', type: 'dir', mode: 0o2775, gid: 50 },
    { path: 'setgid/inner', gid: 7 },
    { path: 'setgid/inner-root' },
    { path: 'setgid/inner-dir', type: 'dir', mode: 0o755, gid: 8 },
    { path: 'setgid/inner-dir-root', type: 'dir', mode: 0o755 },
    { path: 'setgid/link', type: 'link', target: 'inner' },
  ],
  'times of files': [
    { path: 'fraction', mtimeNs: at(1_600_000_000n, 123_456_789n) },
    { path: 'y2040', mtimeNs: at(2_210_000_000n) },
    { path: 'y2105', mtimeNs: at(4_270_000_000n, 1n) },
    { path: 'zero', mtimeNs: 0n },
    { path: 'link', type: 'link', target: 'zero', mtimeNs: at(1_234_567_890n, 5n) },
    { path: 'fifo', type: 'fifo', mtimeNs: at(1_234_567_891n) },
  ],
  'times of directories, whatever is made in them later': [
    { path: 'a', type: 'dir', mtimeNs: at(1_000_000_000n, 7n) },
    { path: 'a/b', type: 'dir', mtimeNs: at(1_000_000_001n) },
    { path: 'a/b/1' },
    { path: 'c', type: 'dir', mtimeNs: at(1_000_000_002n) },
    { path: 'a/b/2' },
    { path: 'c/3' },
    { path: 'a/4' },
    { path: 'a/b', type: 'dir', mtimeNs: at(1_000_000_003n) },
    { path: 'a/b/5', type: 'hardlink', target: 'a/4' },
    { path: 'a/b/6', type: 'link', target: '/' },
    { path: 'c/7', type: 'fifo' },
    { path: 'c/8', type: 'dir' },
  ],
  'extended attributes and capabilities': [
    { path: 'capable', uid: 1000, mode: 0o755, xattrs: { 'security.capability': CAPABILITY } },
    { path: 'binary', xattrs: { 'user.a': Buffer.from([0, 10, 61, 255, 0]), 'user.empty': Buffer.alloc(0) } },
    { path: 'trusted', xattrs: { 'trusted.a': Buffer.from('t'), 'user.b=c%3D': Buffer.from('name') } },
    { path: 'd', type: 'dir', uid: 9, xattrs: { 'user.dir': Buffer.alloc(1000, 'v') } },
    { path: 'd/f', xattrs: { 'user.on file': Buffer.from('x') } },
    { path: 'fifo', type: 'fifo', xattrs: { 'trusted.fifo': Buffer.from('x') } },
    { path: 'link', type: 'link', target: 'd', xattrs: { 'trusted.link': Buffer.from('x') } },
  ],
  'hard links to anything but a directory': [
    { path: 'f', content: 'x', mode: 0o4750, uid: 3, xattrs: { 'security.capability': CAPABILITY } },
    { path: 'f2', type: 'hardlink', target: 'f', mode: 0o600, uid: 4 },
    { path: 'd', type: 'dir' },
    { path: 'd/f3', type: 'hardlink', target: './f2' },
    { path: 'l', type: 'link', target: 'nowhere', uid: 5 },
    { path: 'd/l2', type: 'hardlink', target: 'l' },
    { path: 'p', type: 'fifo' },
    { path: 'd/p2', type: 'hardlink', target: 'p' },
    { path: 'c', type: 'char', device: [1, 3] },
    { path: 'd/c2', type: 'hardlink', target: 'c' },
  ],
  devices: [
    { path: 'null', type: 'char', device: [1, 3], mode: 0o666 },
    { path: 'disk', type: 'block', device: [8, 17], mode: 0o660, gid: 6 },
    { path: 'overlay', type: 'char', device: [0, 0] },
    { path: 'major', type: 'char', device: [4095, 255] },
    { path: 'minor', type: 'block', device: [259, 1_048_575] },
  ],
  'names and contents': [
    { path: '\xff\xfe', content: 'not UTF-8' },
    { path: 'new\nline and "quotes" \\', content: '' },
    { path: 'l'.repeat(99), type: 'dir' },
    { path: `${'l'.repeat(99)}/${'m'.repeat(200)}`, content: 'long' },
    { path: 'blocks', content: Buffer.alloc(1024, 'b') },
    { path: 'larger than the ring', content: Buffer.alloc(5 * 2 ** 20 + 1, 'r') },
    { path: 'link', type: 'link', target: `/${'t'.repeat(300)}` },
    { path: 'twice', content: 'first' },
    { path: 'twice', content: 'second' },
    { path: 'old directory/', content: '' },
  ],
};

for (const [where, applier] of Object.entries(APPLIERS))
  describe(`attributes, unpacked ${where}`, () => {
    const use = useLayerSandbox({ applier, parent: () => btrfsDirectory('attributes') });
    const entry = (path: string): TreeEntry => listTree(use.sandbox.root).get(path)!;

    describe('as GNU tar gives them', () => {
      for (const [name, entries] of Object.entries(AS_GNU_TAR))
        it(name, async () => {
          const { sandbox } = use;
          const judge = join(sandbox.base, 'blobs/judge');
          mkdirSync(judge);
          const archive = writeTar(entries);
          const { status, errors } = extractWithGnuTar(archive, judge);
          expect(status, errors).to.equal(0);
          const { notes } = await sandbox.applyBlob(archive);
          expect(notes).to.be.empty;
          // GNU tar gives up the time of a directory that it comes back to: then the last entry for it decides.
          const times = new Map(
            entries.filter(({ type }) => type === 'dir').map(({ path, mtimeNs }) => [path, mtimeNs]),
          );
          const want = [...listTree(judge, { withoutRoot: true })].map(([path, seen]): [string, TreeEntry] =>
            times.has(path) ? [path, { ...seen, mtime: String(times.get(path) ?? DEFAULT_MTIME) }] : [path, seen],
          );
          const got = listTree(sandbox.root, { withoutRoot: true });
          expectSameTree(new Map(want), got);
        });
      it('times before 1970 and far away', async () => {
        // GNU tar cannot be asked by ustar fields: PAX says it, and btrfs keeps 64 bits.
        await use.sandbox.apply([
          { path: 'y1969', mtimeNs: -1_500_000_000n },
          { path: 'y1900', mtimeNs: at(-2_208_988_800n) - 1n },
          { path: 'y2500', mtimeNs: at(16_725_225_600n, 5n) },
        ]);
        expect([entry('y1969').mtime, entry('y1900').mtime, entry('y2500').mtime]).to.deep.equal([
          '-1500000000',
          '-2208988800000000001',
          '16725225600000000005',
        ]);
      });
    });

    it('the file systems see the capability: getcap', async () => {
      await use.sandbox.apply([{ path: 'ping', mode: 0o755, uid: 7, xattrs: { 'security.capability': CAPABILITY } }]);
      const shown = execFileSync('getcap', [join(use.sandbox.root, 'ping')], { encoding: 'utf8' });
      expect(shown).to.include('cap_net_raw');
    });

    it('an existing directory takes owner, mode, time and attributes of its new entry, and keeps what it holds', async () => {
      await use.sandbox.apply(
        [
          {
            path: 'd',
            type: 'dir',
            mode: 0o2777,
            uid: 1,
            gid: 1,
            xattrs: { 'user.old': Buffer.from('o'), 'user.both': Buffer.from('1') },
          },
          { path: 'd/kept', content: 'kept' },
        ],
        [
          {
            path: 'd',
            type: 'dir',
            mode: 0o750,
            uid: 2,
            gid: 3,
            mtimeNs: at(5n, 6n),
            xattrs: { 'user.both': Buffer.from('2') },
          },
        ],
      );
      expect(entry('d')).to.deep.include({
        mode: '750',
        owner: '2:3',
        mtime: '5000000006',
        xattrs: { 'user.both': '32' },
      });
      expect(use.sandbox.tree()).to.deep.equal(['d/', 'd/kept = kept']);
    });

    it('the root takes what its entry says', async () => {
      await use.sandbox.apply([
        { path: './', type: 'dir', mode: 0o711, uid: 4, gid: 5, mtimeNs: at(42n) },
        { path: 'x' },
      ]);
      expect(entry('.')).to.deep.include({ mode: '711', owner: '4:5', mtime: '42000000000' });
    });

    it('directories that no entry names: 0755, root, 1970', async () => {
      await use.sandbox.apply([{ path: 'a/b/c', uid: 5 }]);
      expect(entry('a')).to.deep.include({ mode: '755', owner: '0:0', mtime: '0' });
      expect(entry('a/b')).to.deep.include({ mode: '755', owner: '0:0', mtime: '0' });
    });

    const WHOLE: readonly TarEntry[] = [
      { path: '.', type: 'dir', mtimeNs: at(10n) },
      { path: 'd', type: 'dir', mtimeNs: at(11n) },
      { path: 'd/e', type: 'dir', mtimeNs: at(12n) },
      { path: 'd/e/old', content: 'old' },
      { path: 'd/e/dir/x', content: 'x' },
      { path: 'l', type: 'link', target: 'd/e' },
    ];
    for (const [name, upper] of [
      ['a file made', [{ path: 'd/e/new' }]],
      ['a file replaced', [{ path: 'd/e/old' }]],
      ['a whiteout', [{ path: 'd/e/.wh.old' }]],
      ['a whiteout of nothing', [{ path: 'd/e/.wh.nothing' }]],
      ['an opaque marker', [{ path: 'd/e/.wh..wh..opq' }]],
      ['a file made through a link', [{ path: 'l/new' }]],
      ['a whiteout through a link', [{ path: 'l/.wh.old' }]],
      ['a hard link', [{ path: 'd/e/hard', type: 'hardlink', target: 'd/e/old' }]],
      ['a directory over a file', [{ path: 'd/e/old', type: 'dir' }]],
      ['a file over a directory', [{ path: 'd/e/dir' }]],
      ['an opaque marker above', [{ path: 'd/e/new' }, { path: '.wh..wh..opq' }]],
      [
        'an AUFS link store',
        [{ path: '.wh..wh.plnk/1' }, { path: 'd/e/1', type: 'hardlink', target: '.wh..wh.plnk/1' }],
      ],
    ] as readonly (readonly [string, readonly TarEntry[]])[])
      it(`directories that a layer changes without naming them keep their times: ${name}`, async () => {
        await use.sandbox.apply(WHOLE, upper);
        const times = ['.', 'd', 'd/e'].map((path) => entry(path).mtime);
        expect(times).to.deep.equal(['10000000000', '11000000000', '12000000000']);
      });

    it('a default ACL or a setgid bit of a directory is not inherited by what the layer puts there', async () => {
      const acl = defaultAcl();
      await use.sandbox.apply(
        [{ path: 'd', type: 'dir', mode: 0o755, xattrs: { 'system.posix_acl_default': acl } }],
        [
          { path: 'd/f', mode: 0o640 },
          { path: 'd/s', type: 'dir', mode: 0o750 },
          { path: 'd/p', type: 'fifo', mode: 0o604 },
          { path: 'd/implied/f', mode: 0o600 },
          { path: 'g', type: 'dir', mode: 0o2770, gid: 9 },
          { path: 'g/implied/f' },
        ],
      );
      expect(entry('d').xattrs).to.have.property('system.posix_acl_default');
      expect(entry('d/f')).to.deep.include({ mode: '640', xattrs: {} });
      expect(entry('d/s')).to.deep.include({ mode: '750', xattrs: {} });
      expect(entry('d/p')).to.deep.include({ mode: '604', xattrs: {} });
      expect(entry('d/implied')).to.deep.include({ mode: '755', xattrs: {} });
      expect(entry('g/implied')).to.deep.include({ mode: '755', owner: '0:0' });
      expect(entry('d/implied/f')).to.deep.include({ mode: '600', xattrs: {} });
    });

    it('hard links to a file of an earlier layer; a file over one of its names leaves the others', async () => {
      const { sandbox } = use;
      await sandbox.apply(
        [
          { path: 'a', content: 'old' },
          { path: 'b', type: 'hardlink', target: 'a' },
        ],
        [
          { path: 'c', type: 'hardlink', target: 'b' },
          { path: 'b', content: 'new' },
        ],
        [
          { path: 'd', type: 'hardlink', target: 'b' },
          { path: 'c', type: 'hardlink', target: 'a' },
        ],
      );
      expect(sandbox.tree()).to.deep.equal(['a = old', 'b = new', 'c == a', 'd == b']);
      expect(lstatSync(join(sandbox.root, 'a')).nlink).to.equal(2);
      expect(readFileSync(join(sandbox.root, 'd'), 'latin1')).to.equal('new');
    });

    it('under any umask of the process', async () => {
      const before = process.umask(0o077);
      try {
        await use.sandbox.apply([
          { path: 'f', mode: 0o666 },
          { path: 'd', type: 'dir', mode: 0o777 },
          { path: 'p', type: 'fifo', mode: 0o666 },
          { path: 'implied/f', mode: 0o606 },
        ]);
      } finally {
        process.umask(before);
      }
      expect(['f', 'd', 'p', 'implied', 'implied/f'].map((path) => entry(path).mode)).to.deep.equal([
        '666',
        '777',
        '666',
        '755',
        '606',
      ]);
    });
  });

/** The attribute that gives user 1000 rights on all that is made in a directory, as acl(5) keeps it: version 2. */
function defaultAcl(): Buffer {
  const entries: readonly (readonly [tag: number, permissions: number, id: number])[] = [
    [0x01, 7, 0xffffffff],
    [0x02, 7, 1000],
    [0x04, 5, 0xffffffff],
    [0x10, 7, 0xffffffff],
    [0x20, 5, 0xffffffff],
  ];
  const acl = Buffer.alloc(4 + 8 * entries.length);
  acl.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + 8 * index);
    acl.writeUInt16LE(permissions, 6 + 8 * index);
    acl.writeUInt32LE(id, 8 + 8 * index);
  }
  return acl;
}
