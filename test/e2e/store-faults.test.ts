import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startServe, IMGTOOL } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';
import { skopeoCopy } from '../helpers/skopeo.js';

/** Exit code and stderr of a shell line in a mount namespace of its own, where devices and programs can be taken away. */
function inNamespace(line: string): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve) => {
    execFile('unshare', ['-m', 'sh', '-ec', line], (error, _stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stderr });
    });
  });
}

describe('a machine that cannot carry a store', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-faults-'));
  });
  after(async () => {
    await run('umount', [join(directory, 'full')]).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  });

  const expectOneLine = (stderr: string, said: RegExp): void => {
    expect(stderr).to.match(/^imgtool: .*\nhint: .*\n$/);
    expect(stderr).to.match(said);
  };

  it('no loop device: exit 7', async () => {
    const nodes = 'mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/urandom c 1 9';
    const { code, stderr } = await inNamespace(
      `mount -t tmpfs none /dev; ${nodes}; exec ${IMGTOOL} --root ${directory}/no-loop store init`,
    );
    expect(code, stderr).to.equal(7);
    expectOneLine(stderr, /no loop device/);
  });

  it('no mkfs.btrfs: exit 7, and nothing is left', async () => {
    const empty = join(directory, 'empty');
    await mkdir(empty);
    const program = await realpath(
      (await run('sh', ['-c', 'PATH=$PATH:/sbin:/usr/sbin; command -v mkfs.btrfs'])).trim(),
    );
    const { code, stderr } = await inNamespace(
      `mount --bind /dev/null ${program}; exec ${IMGTOOL} --root ${directory}/no-mkfs store init`,
    );
    expect(code, stderr).to.equal(7);
    expectOneLine(stderr, /mkfs\.btrfs/);
    const left = await run('sh', ['-c', `cd ${directory} && ls -d no-mkfs.btrfs 2>/dev/null || echo none`]);
    expect(left.trim()).to.equal('none');
  });

  it('a pool too small for the image: exit 8 before anything is fetched', async () => {
    const layout = join(directory, 'layout');
    await writeOciLayout(layout, [
      { tag: 'big', layers: [{ entries: [{ path: 'zeros', content: Buffer.alloc(64 << 20) }] }] },
    ]);
    const server = await startServe(join(directory, 'registry'));
    try {
      await skopeoCopy(`oci:${layout}:big`, `docker://${server.host}/big:1`);
      const root = join(directory, 'full');
      await run(IMGTOOL, ['--root', root, '-q', 'store', 'init', '--size', '120M']);
      const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
        execFile(IMGTOOL, ['--root', root, '-q', 'pull', `${server.host}/big:1`], (error, _out, said) =>
          resolve({ code: error?.code, stderr: said }),
        );
      });
      expect(code, stderr).to.equal(8);
      expectOneLine(stderr, /needs about .* MB, the store has/);
    } finally {
      await server.stop();
    }
  });
});
