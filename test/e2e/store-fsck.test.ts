import { execFile, execFileSync } from 'node:child_process';
import { open, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { IMGTOOL, imgtool } from '../helpers/imgtool.js';
import { expectSameTree, listTree } from '../helpers/tree-listing.js';
import { makeWorkspace, type Workspace } from '../helpers/workspace.js';

interface Check {
  readonly code: number;
  readonly findings: readonly { readonly kind: string; readonly subject: string; readonly repaired: boolean }[];
}
interface Inspected {
  readonly id: string;
  readonly digest: string;
  readonly layers: readonly { readonly digest: string; readonly chainId: string }[];
}

describe('imgtool store fsck', () => {
  let workspace: Workspace;
  let root: string;
  let name: string;
  let image: Inspected;

  before(async () => {
    workspace = await makeWorkspace('fsck');
    ({ root } = workspace);
    ({ name } = await workspace.serveSmallImage());
    await imgtool(root, 'pull', name);
    image = JSON.parse(await imgtool(root, 'inspect', name)) as Inspected;
  });
  after(() => workspace.remove());

  const fsck = async (...flags: string[]): Promise<Check> => {
    const args = ['--root', root, '--progress', 'none', 'store', 'fsck', '--json', ...flags];
    const { stdout, code } = await promisify(execFile)(IMGTOOL, args).then(
      (result) => ({ ...result, code: 0 }),
      (error: { stdout: string; code: number }) => error,
    );
    return { ...(JSON.parse(stdout) as Check), code };
  };
  const clean = async (): Promise<void> => expect(await fsck()).to.deep.include({ code: 0, findings: [] }) as never;
  const blobPath = (digest: string): string => join(root, 'blobs/sha256', digest.slice('sha256:'.length));
  const layerPath = (chainId: string): string => join(root, 'layers', chainId.slice('sha256:'.length));
  const treeOf = async (): ReturnType<typeof imgtool> => imgtool(root, 'mount', await imgtool(root, 'create', name));

  it('finds nothing wrong with what was pulled and committed, sockets and clamped times included', async () => {
    await imgtool(root, 'create', '--name', 'box', name);
    const files = await imgtool(root, 'mount', 'box');
    const script = [
      'ln srv/noted srv/again; rm -r usr; mkdir usr; mkfifo pipe; mknod node c 1 3; setfattr -n user.a -v b etc',
      'perl -MIO::Socket::UNIX -e \'IO::Socket::UNIX->new(Local => "socket", Listen => 1)\'; chown 5:6 srv/far; mv bin sbin',
    ];
    execFileSync('sh', ['-ec', script.join('\n')], { cwd: files });
    process.env.SOURCE_DATE_EPOCH = '1700000000';
    try {
      await imgtool(root, 'commit', 'box', 'local/committed:1');
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
    await clean();
  });

  it('takes away what writers of records left that died, and nothing that is being written', async () => {
    const places = ['images', 'layers', 'containers', 'uploads'].map((place) => join(root, place));
    for (const place of places) {
      for (const left of ['.new-old', '.new-now']) await writeFile(join(place, left), '{');
      await utimes(join(place, '.new-old'), 0, 0);
    }
    await fsck('--quick');
    for (const place of places) {
      const left = (await readdir(place)).filter((entry) => entry.startsWith('.new-'));
      expect(left, place).to.deep.equal(['.new-now']);
      await rm(join(place, '.new-now'));
    }
  });

  it('a damaged blob: named, exit 7, fetched again', async () => {
    const { digest } = image.layers[0]!;
    const good = await readFile(blobPath(digest));
    const file = await open(blobPath(digest), 'r+');
    await file.write(Buffer.from([good[100]! ^ 1]), 0, 1, 100);
    await file.close();
    expect((await fsck('--quick')).findings).to.deep.equal([]);
    const found = await fsck();
    expect(found.code).to.equal(7);
    expect(found.findings).to.have.length(1);
    expect(found.findings[0]).to.include({ kind: 'blob', subject: digest, repaired: false });
    const repaired = await fsck('--repair');
    expect(repaired.code).to.equal(0);
    expect(repaired.findings[0]).to.include({ subject: digest, repaired: true });
    expect(await readFile(blobPath(digest))).to.deep.equal(good);
    await clean();
  });

  it('files changed in a layer: named, unpacked again with all layers on it', async () => {
    const wanted = listTree(await treeOf());
    const { chainId } = image.layers[1]!;
    for (const { chainId: layer } of image.layers.slice(1)) {
      const edit = 'btrfs property set -f . ro false; echo damage >>etc/passwd; btrfs property set -f . ro true';
      execFileSync('sh', ['-ec', edit], { cwd: layerPath(layer) });
    }
    const found = await fsck();
    expect(found.code).to.equal(7);
    expect(found.findings.map(({ subject }) => subject)).to.include(chainId);
    expect((await fsck('--repair')).code).to.equal(0);
    expectSameTree(wanted, listTree(await treeOf()));
    await clean();
  });

  it('a layer, a config and a manifest that are gone: found quickly, brought back', async () => {
    const { id, digest } = image;
    const top = image.layers.at(-1)!.chainId;
    await imgtool(root, 'rmi', 'local/committed:1');
    execFileSync('sh', ['-ec', `rm ${blobPath(id)} ${blobPath(digest)}; btrfs subvolume delete ${layerPath(top)}`], {
      stdio: 'ignore',
    });
    const found = await fsck('--quick');
    expect(found.code).to.equal(7);
    const subjects = found.findings.map(({ kind, subject }) => `${kind} ${subject}`);
    expect(new Set(subjects)).to.deep.equal(new Set([`layer ${top}`, `image ${id}`]));
    const repaired = await fsck('--quick', '--repair');
    expect(repaired.code).to.equal(0);
    expect(repaired.findings.every((finding) => finding.repaired)).to.equal(true);
    await clean();
  });
});
