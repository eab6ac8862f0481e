import { execFile, execFileSync } from 'node:child_process';
import { open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { createContentStore } from '../../lib/content/index.js';
import { ImgtoolError, LayerFormatError, SyscallError } from '../../lib/errors.js';
import { createLayerApplier, packLayer } from '../../lib/layer/index.js';
import { createMetadataStore } from '../../lib/metadata/index.js';
import { commitContainer } from '../../lib/operations/index.js';
import { changes, createSnapshotter } from '../../lib/snapshot/index.js';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

describe('commit: faults', () => {
  let workspace: Workspace;
  let directory: string;
  let root: string;
  let number = 0;

  before(async () => {
    workspace = await makeWorkspace('faults');
    ({ directory, root } = workspace);
    const tree = join(directory, 'tree');
    execFileSync('sh', ['-ec', `mkdir -p ${tree}/etc && echo a >${tree}/etc/a && tar -C ${tree} -cf ${tree}.tar .`]);
    await imgtool(root, 'store', 'init', '--size', '1GiB');
    await imgtool(root, 'import', `${tree}.tar`, 'local/base:1');
  });
  after(() => workspace.remove());

  /** A new container; its name and the directory of its files. */
  async function container(image = 'local/base:1'): Promise<{ name: string; files: string }> {
    const name = `box${number++}`;
    await imgtool(root, 'create', '--name', name, image);
    return { name, files: await imgtool(root, 'mount', name) };
  }
  const contents = async (): Promise<string[]> => {
    const places = ['blobs/sha256', 'ingest', 'layers', 'images', 'work', 'trash'];
    const lists = places.map(async (place) => (await readdir(join(root, place))).map((entry) => `${place}/${entry}`));
    return (await Promise.all(lists)).flat().sort();
  };
  const stderrOf = async (...args: string[]): Promise<{ code: number; stderr: string }> => {
    try {
      const { stderr } = await promisify(execFile)(IMGTOOL, ['--root', root, ...args]);
      return { code: 0, stderr };
    } catch (error) {
      return error as { code: number; stderr: string };
    }
  };

  const meanwhile: readonly { title: string; script: string; want: typeof SyscallError | typeof LayerFormatError }[] = [
    { title: 'vanishes', script: 'rm deep/er/victim2', want: SyscallError },
    { title: 'loses its directory', script: 'rm -r deep', want: LayerFormatError },
    { title: 'is replaced by a link', script: 'ln -sf /etc/passwd deep/er/victim', want: LayerFormatError },
    { title: 'grows', script: 'echo more >>deep/er/victim', want: LayerFormatError },
    { title: 'is cut short', script: ': >deep/er/victim', want: LayerFormatError },
    { title: 'is rewritten', script: 'printf X >x; dd if=x of=deep/er/victim conv=notrunc', want: LayerFormatError },
  ];
  for (const { title, script, want } of meanwhile)
    it(`a file that ${title} while packed: named, nothing published`, async () => {
      const { name, files } = await container();
      execFileSync(
        'sh',
        ['-ec', 'mkdir -p deep/er; head -c 3000000 /dev/urandom >deep/er/victim; echo 2 >deep/er/victim2'],
        {
          cwd: files,
        },
      );
      const before = await contents();
      const metadata = createMetadataStore({ root });
      let frozen = '';
      const committing = commitContainer(
        {
          content: createContentStore({ root }),
          metadata,
          snapshots: createSnapshotter({ root }),
          createApplier: () => createLayerApplier(),
          compareTrees: (input) => {
            frozen = input.upper;
            return changes(input);
          },
          packLayer: (input) =>
            packLayer({
              ...input,
              // The first block is full in the middle of the file: what was frozen is changed behind its back then.
              onProgress: () => {
                if (frozen === '') return;
                execFileSync('btrfs', ['property', 'set', '-f', frozen, 'ro', 'false']);
                execFileSync('sh', ['-ec', script], { cwd: frozen, stdio: 'ignore' });
                frozen = '';
              },
            }),
          progress: { event: () => undefined, note: () => undefined },
        },
        { container: name, changes: [], squash: false, emptyOk: false, signal: never },
      );
      const error = await rejection(committing);
      expect(error).to.be.instanceOf(want).and.instanceOf(ImgtoolError);
      expect(error.message).to.include('deep/er/victim');
      expect(await contents()).to.deep.equal(before);
    });
  const never = new AbortController().signal;

  it('a file that cannot be read: exit 7, named, nothing published', async () => {
    const { name, files } = await container();
    const marker = `marker of ${directory} `;
    await writeFile(join(files, 'unlucky'), marker.repeat(1000));
    const before = await contents();
    // Its bytes on disk are damaged while nobody has them in memory; btrfs finds out when it reads them.
    await run('umount', [root]);
    const pool = `${root}.btrfs`;
    const found = await run('sh', ['-c', `LC_ALL=C grep -abo -m1 -F '${marker}${marker}' ${pool} | head -1`]);
    const file = await open(pool, 'r+');
    await file.write(Buffer.from('X'), 0, 1, Number(found.split(':')[0]));
    await file.close();
    const { code, stderr } = await stderrOf('commit', name, 'local/broken:1');
    expect(code, stderr).to.equal(7);
    expect(stderr).to.match(/^imgtool: .*unlucky.*EIO/m);
    expect(await contents()).to.deep.equal(before);
    await imgtool(root, 'rm', name);
  });

  it('where btrfs cannot tell the changes both trees are walked, which is said; a subvolume inside is no such case', async () => {
    const { name, files } = await container();
    await writeFile(join(files, 'etc/b'), 'b');
    execFileSync('btrfs', ['subvolume', 'create', join(files, 'etc/nested')], { stdio: 'ignore' });
    const nested = await stderrOf('diff', name);
    expect(nested.stderr).to.not.include('comparing every file');
    expect(await imgtool(root, 'diff', name)).to.equal('C /etc\nA /etc/b\nA /etc/nested');

    const other = join(directory, 'other.tar');
    execFileSync('sh', ['-ec', `cd ${directory} && mkdir o && echo b >o/b && tar -C o -cf ${other} .`]);
    await imgtool(root, 'import', other, 'local/other:1');
    const unrelated = await stderrOf('diff', 'local/other:1', 'local/base:1');
    expect(unrelated.stderr).to.match(/comparing every file.*snapshot/);
    expect(await imgtool(root, 'diff', 'local/other:1', 'local/base:1'))
      .to.include('A /b\n')
      .and.include('D /etc');
  });
});
