import { expect } from 'chai';
import { closeSync, constants, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SyscallError } from '../../lib/errors.js';
import * as sys from '../../lib/sys/index.js';

describe('native calls', () => {
  let root: string;
  let dir: number;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'imgtool-sys-'));
    dir = openSync(root, 'r');
  });
  afterEach(() => {
    closeSync(dir);
    rmSync(root, { recursive: true });
  });

  it('makes devices and reads them back, with times before 1970 and in nanoseconds', () => {
    sys.mknodAt(dir, 'dev', 0o20644, 4095, 300_000);
    for (const mtimeNs of [-1_500_000_001n, 1n, 2_222_222_222_123_456_789n]) {
      sys.setTimesAt(dir, 'dev', mtimeNs);
      expect(sys.statAt(dir, 'dev')).to.include({ mtimeNs, rdevMajor: 4095, rdevMinor: 300_000, mode: 0o20644 });
    }
  });

  it('keeps names that are not UTF-8 and binary attribute values', () => {
    const name = Buffer.from([0x66, 0xff, 0x01]);
    closeSync(sys.openAt(dir, name, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
    const value = Buffer.from([1, 0, 2, 255]);
    sys.setXattr(sys.fdPath(dir, name), 'trusted.test', value);
    sys.setXattr(sys.fdPath(dir, name), 'user.empty', Buffer.alloc(0));
    expect(sys.listXattrs(sys.fdPath(dir, name)).map(String)).to.deep.equal(['trusted.test', 'user.empty']);
    expect(sys.getXattr(sys.fdPath(dir, name), 'trusted.test')).to.deep.equal(value);
    expect(sys.getXattr(sys.fdPath(dir, name), 'user.empty')).to.have.length(0);
    expect(sys.getXattr(sys.fdPath(dir, name), 'user.none')).to.equal(undefined);
    expect(sys.displayPath(name)).to.equal('f\\xff\\x01');
  });

  it('resolves absolute links and .. inside the root (CVE-2014-6407)', () => {
    symlinkSync('/etc', join(root, 'out'));
    const open = (path: string): number =>
      sys.openAt2(dir, path, { flags: constants.O_RDONLY, resolve: sys.RESOLVE_IN_ROOT | sys.RESOLVE_NO_MAGICLINKS });
    for (const path of ['out/passwd', '../etc/passwd', '/etc/passwd'])
      expect(() => open(path), path).to.throw(SyscallError, 'ENOENT');
    writeFileSync(join(root, 'in'), 'x');
    closeSync(open('/../in'));
  });

  it('takes a lock once', () => {
    writeFileSync(join(root, 'lock'), '');
    const [a, b] = [openSync(join(root, 'lock'), 'r'), openSync(join(root, 'lock'), 'r')];
    expect(sys.tryFlock(a, 'exclusive')).to.equal(true);
    expect(sys.tryFlock(b, 'shared')).to.equal(false);
    closeSync(a);
    expect(sys.tryFlock(b, 'shared')).to.equal(true);
    closeSync(b);
  });
});
