/** The small real image of tests and demo: Debian's static busybox and one of everything that a layer can hold. */
import { readFile } from 'node:fs/promises';
import { writeOciLayout, type ImageTable } from './oci-layout.js';
import type { TarEntry } from './tar-writer.js';

/** The tag the image has in its layout. */
export const SMALL_IMAGE_TAG = '1';

/** Where busybox-static puts its program. */
export const BUSYBOX = '/bin/busybox';

const APPLETS = [
  'sh',
  'ls',
  'cat',
  'echo',
  'id',
  'stat',
  'sleep',
  'true',
  'false',
  'mkdir',
  'rm',
  'cp',
  'touch',
  'find',
];

/** cap_net_raw+ep as `struct vfs_cap_data` revision 2 (linux/capability.h). */
const CAP_NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** The image as a table; `busybox` is the program's bytes, any bytes where nothing is run. */
export function smallImage(busybox: Uint8Array, tag = SMALL_IMAGE_TAG): ImageTable {
  const dir = (path: string, rest: Partial<TarEntry> = {}): TarEntry => ({ path, type: 'dir', ...rest });
  return {
    tag,
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin:/usr/bin'], Labels: { purpose: 'test' } },
    layers: [
      {
        createdBy: 'busybox and a few files',
        entries: [
          ...['bin', 'dev', 'etc', 'usr', 'usr/bin', 'var', 'var/lib'].map((path) => dir(path)),
          dir('tmp', { mode: 0o1777 }),
          dir('root', { mode: 0o700 }),
          { path: 'bin/busybox', mode: 0o755, content: busybox },
          ...APPLETS.map((name): TarEntry => ({ path: `bin/${name}`, type: 'link', target: 'busybox' })),
          { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n' },
          { path: 'etc/group', content: 'root:x:0:\napp:x:1000:\n' },
          { path: 'etc/motd', content: 'hello\n' },
          { path: 'dev/null', type: 'char', device: [1, 3], mode: 0o666 },
          { path: 'dev/pipe', type: 'fifo', mode: 0o600 },
        ],
      },
      {
        createdBy: 'one of everything',
        entries: [
          ...['usr', 'usr/bin', 'var', 'var/lib'].map((path) => dir(path)),
          { path: 'usr/bin/ping', mode: 0o755, content: 'ping\n', xattrs: { 'security.capability': CAP_NET_RAW } },
          { path: 'usr/bin/su', mode: 0o4755, content: 'su\n' },
          dir('srv', { uid: 1000, gid: 1000, mtimeNs: 1_600_000_000_123_456_789n }),
          { path: 'srv/na\xefve', uid: 1000, gid: 1000, content: 'not UTF-8\n', mtimeNs: 1_600_000_001_000_000_001n },
          { path: 'srv/far', uid: 3_000_000, gid: 3_000_001, content: 'huge owner\n' },
          { path: 'srv/noted', content: 'x', xattrs: { 'user.note': Buffer.from([0, 10, 61, 255]) } },
          { path: 'srv/first', content: 'two names\n', mode: 0o640 },
          { path: 'srv/second', type: 'hardlink', target: 'srv/first', mode: 0o640 },
          dir('var/lib/app', { mode: 0o2750, gid: 1000 }),
          ...['one', 'two', 'three'].map((name): TarEntry => ({ path: `var/lib/app/${name}`, content: name })),
          dir('var/cache'),
          dir('var/cache/deep'),
          { path: 'var/cache/deep/file', content: 'gone soon' },
          { path: 'var/loop', type: 'link', target: '../var', mtimeNs: 1_500_000_000_999_999_999n },
        ],
      },
      {
        createdBy: 'deletions',
        entries: [
          dir('etc', { mtimeNs: 1_650_000_000_500_000_000n }),
          { path: 'etc/.wh.motd' },
          { path: 'etc/group', content: 'root:x:0:\n', mode: 0o600 },
          dir('var'),
          dir('var/lib'),
          dir('var/lib/app', { mode: 0o700 }),
          { path: 'var/lib/app/.wh..wh..opq' },
          { path: 'var/lib/app/four', content: 'four' },
        ],
      },
      {
        createdBy: 'changed types',
        entries: [
          // Parents are listed, as builders do: appliers differ in what they make of the times of those that are not.
          dir('var', { mtimeNs: 1_660_000_000_000_000_007n }),
          dir('var/lib'),
          dir('srv', { uid: 1000, gid: 1000 }),
          { path: 'var/.wh.cache' },
          { path: 'var/lib/app', type: 'link', target: '/srv' },
          { path: 'srv/third', type: 'hardlink', target: 'srv/first', mode: 0o640 },
          dir('srv/far', { uid: 1000 }),
          { path: 'srv/far/inside', content: 'a file became a directory\n' },
        ],
      },
    ],
  };
}

/** Writes the image as an OCI layout with the busybox of this machine (package busybox-static); resolves with its digest. */
export async function writeSmallImage(directory: string): Promise<string> {
  const digests = await writeOciLayout(directory, [smallImage(await readFile(BUSYBOX))]);
  return digests.get(SMALL_IMAGE_TAG) ?? '';
}
