import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { packFileTree, packTree, type PackedLayer } from '../../lib/layer/index.js';
import { openDirectoryTree } from '../../lib/rootfs/index.js';
import { setXattr } from '../../lib/sys/index.js';

describe('packFileTree', () => {
  it('gives the bytes of packTree for a directory, without the attributes of its file system', async () => {
    const root = mkdtempSync(join(tmpdir(), 'imgtool-pack-file-tree-'));
    const shell = `mkdir -p a/b a-b; echo 1 >a/b/file; ln a/b/file link; ln -s a/b to; mkfifo fifo; mknod null c 1 3
      chmod 6755 a/b/file; chown 5:4294967294 a-b; touch -h -d @-1.5 to; truncate -s 3M a/sparse; echo 2 >>a/sparse`;
    const tree = openDirectoryTree(root);
    const signal = AbortSignal.timeout(60_000);
    const bytesOf = async (pack: (output: PassThrough) => Promise<PackedLayer>): Promise<Buffer> => {
      const output = new PassThrough();
      return (await Promise.all([buffer(output), pack(output)]))[0];
    };
    try {
      execFileSync('sh', ['-ec', shell], { cwd: root });
      for (const name of ['user.kept', 'trusted.overlay.opaque', 'security.selinux'])
        setXattr(join(root, 'a'), name, Buffer.from('y'));
      const packed = await bytesOf((output) => packFileTree(tree, { output, compression: 'none', signal }));
      const wanted = await bytesOf((output) => packTree({ root, name: Buffer.alloc(0), output, signal }));
      expect(packed.includes('SCHILY.xattr.user.kept')).to.equal(true);
      expect(packed.includes('trusted.overlay')).to.equal(false);
      expect(packed.equals(wanted)).to.equal(true);
    } finally {
      tree.close();
      rmSync(root, { recursive: true });
    }
  });
});
