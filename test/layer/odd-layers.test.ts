import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LayerFormatError } from '../../lib/errors.js';
import { extractWithGnuTar } from '../helpers/gnu-tar.js';
import { APPLIERS, useLayerSandbox } from '../helpers/layer-sandbox.js';
import { rejection } from '../helpers/rejection.js';
import { padded, paxRecord, tarHeader } from '../helpers/tar-writer.js';
import { listTree } from '../helpers/tree-listing.js';

const END = Buffer.alloc(1024);

function member(path: string, data = '', fields: { flag?: string; size?: number; target?: string } = {}): Buffer {
  const header = { path, flag: '0', mode: 0o644, size: data.length, seconds: 1_600_000_000, ...fields };
  return Buffer.concat([tarHeader(header), padded(Buffer.from(data))]);
}

function pax(records: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value))));
  return Buffer.concat([tarHeader({ path: 'PaxHeaders/x', flag: 'x', mode: 0o644, size: body.length }), padded(body)]);
}

/** v7: the flag is a NUL. */
function oldMember(path: string, size: number): Buffer {
  const block = tarHeader({ path, flag: '\0', mode: 0o755, size, seconds: 1_600_000_000 });
  return block;
}

interface OddLayer {
  readonly archive: Buffer;
  readonly want: readonly string[];
  /** Programs that take it: Go's archive/tar (umoci), GNU tar. */
  readonly judges: readonly ('umoci' | 'GNU tar')[];
}

const both = ['umoci', 'GNU tar'] as const;
const go = ['umoci'] as const;
const gnu = ['GNU tar'] as const;
const z = member('z', 'z');

/** Odd layers that others write. */
const CASES: Readonly<Record<string, OddLayer>> = {
  'the end right after the last byte of the last member (umoci insert)': {
    archive: Buffer.concat([z, member('f', 'abc').subarray(0, 515)]),
    want: ['f = abc', 'z = z'],
    judges: go,
  },
  'the end in the padding of the last member': {
    archive: member('f', 'abc').subarray(0, 700),
    want: ['f = abc'],
    judges: go,
  },
  'no end at all': { archive: member('f', 'abc'), want: ['f = abc'], judges: both },
  'a name with .. that stays inside': {
    archive: Buffer.concat([member('./a/b/../../c/f', 'abc'), END]),
    want: ['c/', 'c/f = abc'],
    judges: go,
  },
  'a hard link to a name with .. that stays inside': {
    archive: Buffer.concat([member('f', 'abc'), member('d/h', '', { flag: '1', target: 'd/../f' }), END]),
    want: ['d/', 'd/h = abc', 'f == d/h'],
    judges: both,
  },
  'a directory with a size and no data': {
    archive: Buffer.concat([member('d/', '', { flag: '5', size: 4096 }), z, END]),
    want: ['d/', 'z = z'],
    judges: both,
  },
  'a directory of v7 with a size and no data': {
    archive: Buffer.concat([oldMember('d/', 4096), z, END]),
    want: ['d/', 'z = z'],
    judges: both,
  },
  'a file with data whose name ends in a slash': {
    archive: Buffer.concat([member('f/', 'hello'), z, END]),
    want: ['f = hello', 'z = z'],
    judges: go,
  },
  'a file without data whose name ends in a slash: a directory': {
    archive: Buffer.concat([member('d/'), z, END]),
    want: ['d/', 'z = z'],
    judges: gnu,
  },
  'two PAX headers for one member: the second replaces the first': {
    archive: Buffer.concat([pax({ path: 'one' }), pax({ mtime: '5' }), member('f', 'abc'), END]),
    want: ['f = abc'],
    judges: both,
  },
  'a PAX size, owner and time with a plus': {
    archive: Buffer.concat([
      pax({ size: '+3', uid: '+7', mtime: '+7.5' }),
      tarHeader({ path: 'f', flag: '0', mode: 0o644, size: 0 }),
      padded(Buffer.from('abc')),
      END,
    ]),
    want: ['f = abc'],
    judges: go,
  },
  'a GNU volume label': {
    archive: Buffer.concat([member('label of the tape', '', { flag: 'V' }), z, END]),
    want: ['z = z'],
    judges: gnu,
  },
  'a GNU dump of a directory: its list of names is no file': {
    archive: Buffer.concat([member('d/', 'Yf\0\0', { flag: 'D' }), z, END]),
    want: ['d/', 'z = z'],
    judges: gnu,
  },
  'access rules of SCHILY.acl, as GNU tar writes them': {
    archive: Buffer.concat([
      pax({ 'SCHILY.acl.access': 'user::rw-\nuser:4242:r-x\ngroup::r--\ngroup:77777:rw-\nmask::rwx\nother::r--\n' }),
      member('f', 'abc'),
      END,
    ]),
    want: ['f = abc'],
    judges: gnu,
  },
  'default access rules, as star writes them': {
    archive: Buffer.concat([
      pax({ 'SCHILY.acl.default': 'user::rwx,user:root:r-x:0,group::r-x,mask::r-x,other::---' }),
      member('d/', '', { flag: '5' }),
      END,
    ]),
    want: ['d/'],
    judges: gnu,
  },
  'a name of an attribute that is not UTF-8': {
    archive: Buffer.concat([pax({ 'SCHILY.xattr.user.\xff': 'v' }), member('f', 'abc'), END]),
    want: ['f = abc'],
    judges: both,
  },
};

for (const [where, applier] of Object.entries(APPLIERS))
  describe(`odd layers that peers take, unpacked ${where}`, () => {
    const use = useLayerSandbox({ applier });

    for (const [name, { archive, want, judges }] of Object.entries(CASES))
      it(`${name}, as ${judges.join(' and ')}`, async () => {
        const { sandbox } = use;
        await sandbox.applyBlob(archive);
        expect(sandbox.tree()).to.deep.equal(want);
        for (const judge of judges) {
          const tree = join(sandbox.base, 'blobs', judge);
          if (judge === 'umoci') unpackWithUmoci(archive, tree);
          else {
            mkdirSync(tree);
            expect(extractWithGnuTar(archive, tree).status).to.equal(0);
          }
          const times = (root: string): Map<string, unknown> => {
            const listing = listTree(root, { withoutRoot: true });
            // Directories that no member names have the time of their making.
            return new Map(
              [...listing].map(([path, entry]) => [
                path,
                entry.type === 'dir' ? { ...entry, mtime: '', mode: '' } : entry,
              ]),
            );
          };
          expect(times(sandbox.root)).to.deep.equal(times(tree));
        }
      });

    it('a layer of no byte has nothing in it, as umoci', async () => {
      const { sandbox } = use;
      const { diffId } = await sandbox.applyBlob(Buffer.alloc(0));
      expect(sandbox.tree()).to.deep.equal([]);
      expect(diffId).to.equal(`sha256:${createHash('sha256').digest('hex')}`);
      unpackWithUmoci(Buffer.alloc(0), join(sandbox.base, 'blobs/umoci'));
    });

    it('access rules that name users without numbers are left out with a note', async () => {
      const { sandbox } = use;
      const acl = 'user::rw-\nuser:lisa:r--\ngroup::r--\nmask::r--\nother::r--\n';
      const { notes } = await sandbox.applyBlob(
        Buffer.concat([pax({ 'SCHILY.acl.access': acl }), member('f', 'abc'), END]),
      );
      expect(notes).to.deep.equal(['f: attribute system.posix_acl_access left out: it refers to users by name']);
    });

    for (const [name, archive] of Object.entries({
      'the end inside the data of a member': member('f', 'abcdef').subarray(0, 515),
      'a part of a header at the end': Buffer.concat([z, Buffer.alloc(100)]),
      'a directory with data behind it': Buffer.concat([member('d/', 'hello', { flag: '5' }), z, END]),
      'a size with a plus in the header itself': Buffer.concat([withSize(member('f', 'abc'), '+0000000003\0'), END]),
      'a member of another tape': Buffer.concat([member('f', 'abc', { flag: 'M' }), END]),
    }))
      it(`${name}: refused, as umoci does`, async () => {
        const { sandbox } = use;
        expect(await rejection(sandbox.applyBlob(archive))).to.be.instanceOf(LayerFormatError);
        expect(() => unpackWithUmoci(archive, join(sandbox.base, 'blobs/umoci'))).to.throw();
      });
  });

function withSize(archive: Buffer, size: string): Buffer {
  archive.write(size, 124, 'latin1');
  archive.fill(0x20, 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return archive;
}

/** Go's archive/tar as a judge: unpacks the layer into the new directory `root`. Throws when umoci refuses it. */
function unpackWithUmoci(layer: Buffer, root: string): void {
  const layout = `${root}-layout`;
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const put = (mediaType: string, body: Buffer): object => {
    const hex = createHash('sha256').update(body).digest('hex');
    writeFileSync(join(layout, 'blobs/sha256', hex), body);
    return { mediaType, digest: `sha256:${hex}`, size: body.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const type = 'application/vnd.oci.image';
  const layers = [put(`${type}.layer.v1.tar`, layer)];
  const diffId = `sha256:${createHash('sha256').update(layer).digest('hex')}`;
  const config = put(
    `${type}.config.v1+json`,
    json({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [diffId] } }),
  );
  const manifest = put(`${type}.manifest.v1+json`, json({ schemaVersion: 2, config, layers }));
  const annotations = { 'org.opencontainers.image.ref.name': 'odd' };
  writeFileSync(join(layout, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  execFileSync('umoci', ['raw', 'unpack', '--image', `${layout}:odd`, root], { stdio: 'pipe' });
}
