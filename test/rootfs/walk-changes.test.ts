import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runInSlices, walkChanges } from '../../lib/rootfs/index.js';
import { AT_FDCWD, mknodAt, openAt, OPEN_DIRECTORY, setTimesAt, setXattr } from '../../lib/sys/index.js';
import { renderChanges } from '../helpers/render-changes.js';

describe('rootfs/walkChanges', () => {
  let dir: string;
  let lower: string;
  let upper: string;
  const at = (...names: string[]): string => join(upper, ...names);

  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'imgtool-walk-'));
    [lower, upper] = [join(dir, 'lower'), join(dir, 'upper')];
    fs.mkdirSync(join(lower, 'd/sub'), { recursive: true });
    fs.writeFileSync(join(lower, 'file'), 'content');
    fs.writeFileSync(join(lower, 'd/sub/deep'), 'deep');
    fs.symlinkSync('target', join(lower, 'symlink'));
    fs.writeFileSync(join(lower, 'one'), 'linked');
    fs.linkSync(join(lower, 'one'), join(lower, 'two'));
  });
  afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

  /** Copies lower, edits the copy, puts the times of the named directories back, and compares. */
  async function after(edit: () => void, directories: readonly string[] = ['.']): Promise<string[]> {
    execFileSync('cp', ['-a', lower, upper]);
    edit();
    for (const name of directories) setTimesAt(AT_FDCWD, at(name), mtime(join(lower, name)));
    return renderChanges(await walkChanges(lower, upper));
  }

  const mtime = (path: string): bigint => fs.lstatSync(path, { bigint: true }).mtimeNs;

  const cases: { title: string; edit: () => void; want: string[]; directories?: string[] }[] = [
    { title: 'nothing', edit: () => undefined, want: [] },
    {
      title: 'a rewrite of the same size whose mtime was put back',
      edit: () => {
        fs.writeFileSync(at('file'), 'CONTENT');
        setTimesAt(AT_FDCWD, at('file'), mtime(join(lower, 'file')));
      },
      want: ['C /file file content 7 7'],
    },
    { title: 'a mode', edit: () => fs.chmodSync(at('file'), 0o4755), want: ['C /file file mode 7 7'] },
    { title: 'an owner', edit: () => fs.chownSync(at('file'), 5, 70000), want: ['C /file file owner 7 7'] },
    { title: 'an owner of a link', edit: () => fs.lchownSync(at('symlink'), 5, 6), want: ['C /symlink symlink owner'] },
    {
      title: 'one nanosecond',
      edit: () => setTimesAt(AT_FDCWD, at('file'), mtime(at('file')) + 1n),
      want: ['C /file file mtime 7 7'],
    },
    {
      title: 'an attribute',
      edit: () => setXattr(at('d'), 'user.x', Buffer.from([0, 255])),
      want: ['C /d directory xattr'],
    },
    {
      title: 'a deleted tree as its top, an added one in full',
      edit: () => fs.renameSync(at('d'), at('e')),
      want: ['D /d directory', 'A /e directory', 'A /e/sub directory', 'A /e/sub/deep file 4'],
    },
    {
      title: 'a directory replaced by a file, and a file by a directory',
      edit: () => {
        fs.rmSync(at('d'), { recursive: true });
        fs.writeFileSync(at('d'), 'now a file');
        fs.rmSync(at('file'));
        fs.mkdirSync(at('file'));
        fs.writeFileSync(at('file/in'), '');
      },
      want: ['C /d file type 10', 'C /file directory type 7', 'A /file/in file 0'],
      directories: ['.'],
    },
    {
      title: 'a directory replaced by a link that leads out',
      edit: () => {
        fs.rmSync(at('d'), { recursive: true });
        fs.symlinkSync('/etc', at('d'));
      },
      want: ['C /d symlink type'],
    },
    {
      title: 'the target of a link',
      edit: () => {
        fs.rmSync(at('symlink'));
        fs.symlinkSync('elsewhere', at('symlink'));
        setTimesAt(AT_FDCWD, at('symlink'), mtime(join(lower, 'symlink')));
      },
      want: ['C /symlink symlink link'],
    },
    {
      title: 'a link added: those that share the inode now belong together',
      edit: () => fs.linkSync(at('file'), at('third')),
      want: ['C /file file link 7 7', 'A /third file 7'],
    },
    {
      title: 'a link removed: the one that stays is as it was',
      edit: () => fs.rmSync(at('two')),
      want: ['D /two file 6'],
    },
    {
      title: 'a link that became an equal file of its own',
      edit: () => execFileSync('sh', ['-c', 'cp -p two x && mv x two'], { cwd: upper }),
      want: ['C /one file link 6 6', 'C /two file link 6 6'],
    },
    {
      title: 'a link that became another file: the one that stays is as it was',
      edit: () => {
        fs.rmSync(at('two'));
        fs.writeFileSync(at('two'), 'different');
        setTimesAt(AT_FDCWD, at('two'), mtime(join(lower, 'two')));
      },
      want: ['C /two file content,link 9 6'],
    },
    {
      title: 'a linked file written through one name: all names changed',
      edit: () => {
        fs.writeFileSync(at('two'), 'LINKED');
        setTimesAt(AT_FDCWD, at('two'), mtime(join(lower, 'two')));
      },
      want: ['C /one file content 6 6', 'C /two file content 6 6'],
    },
    {
      title: 'devices, fifos and sockets',
      edit: () => {
        mknodAt(AT_FDCWD, at('null'), 0o020666, 1, 3);
        mknodAt(AT_FDCWD, at('fifo'), 0o010644);
        mknodAt(AT_FDCWD, at('sock'), 0o140755);
        mknodAt(AT_FDCWD, at('disk'), 0o060644, 259, 70000);
      },
      want: ['A /disk block-device', 'A /fifo fifo', 'A /null character-device', 'A /sock socket'],
    },
    {
      title: 'names that are not UTF-8, sorted by bytes',
      edit: () => {
        for (const name of ['d-x', 'd.x', 'd0']) fs.writeFileSync(at(name), '');
        fs.writeFileSync(Buffer.concat([Buffer.from(`${upper}/d/`), Buffer.from([0xff, 0x0a, 0x41])]), '');
      },
      want: ['A /d-x file 0', 'A /d.x file 0', 'A /d/\\xff\\x0aA file 0', 'A /d0 file 0'],
      directories: ['.', 'd'],
    },
    {
      title: "the root's own metadata",
      edit: () => fs.chmodSync(upper, 0o700),
      want: ['C / directory mode'],
    },
  ];
  for (const { title, edit, want, directories } of cases)
    it(title, async () => expect(await after(edit, directories)).to.deep.equal(want));

  it('a device number', async () => {
    mknodAt(AT_FDCWD, join(lower, 'dev'), 0o020600, 1, 3);
    const edit = (): void => {
      fs.rmSync(at('dev'));
      mknodAt(AT_FDCWD, at('dev'), 0o020600, 1, 5);
      setTimesAt(AT_FDCWD, at('dev'), mtime(join(lower, 'dev')));
    };
    expect(await after(edit)).to.deep.equal(['C /dev character-device content']);
  });

  it('without a lower tree everything is added', async () => {
    fs.chmodSync(lower, 0o755);
    expect(renderChanges(await walkChanges(undefined, lower))).to.deep.equal([
      'A /d directory',
      'A /d/sub directory',
      'A /d/sub/deep file 4',
      'A /file file 7',
      'A /one file 6',
      'A /symlink symlink',
      'A /two file 6',
    ]);
    fs.chmodSync(lower, 0o1777);
    expect(renderChanges(await walkChanges(undefined, lower))[0]).to.equal('C / directory mode');
  });

  it('goes 3,000 directories deep, beyond any path the kernel takes', async () => {
    fs.mkdirSync(upper);
    const names = Array.from({ length: 3000 }, (_, index) => `n${index}`);
    const deepest = (root: string): number => {
      let fd = openAt(AT_FDCWD, root, OPEN_DIRECTORY);
      for (const name of names) {
        const outer = fd;
        fs.mkdirSync(`/proc/self/fd/${outer}/${name}`);
        fd = openAt(outer, name, OPEN_DIRECTORY);
        fs.closeSync(outer);
      }
      return fd;
    };
    const roots = [join(dir, 'a'), join(dir, 'b')] as const;
    roots.forEach((root) => fs.mkdirSync(root));
    try {
      for (const root of roots) {
        const fd = deepest(root);
        if (root === roots[1]) fs.writeFileSync(`/proc/self/fd/${fd}/new`, 'x');
        fs.closeSync(fd);
      }
      const added = (await walkChanges(...roots)).filter((change) => change.kind === 'A');
      expect(added.map((change) => change.path.toString())).to.deep.equal([`/${names.join('/')}/new`]);
    } finally {
      execFileSync('rm', ['-rf', ...roots]);
    }
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    for (let index = 0; index < 3000; index++) fs.writeFileSync(join(lower, `f${index}`), '');
    fs.mkdirSync(upper);
    let stopped: unknown;
    await walkChanges(lower, upper, { signal }).catch((error: unknown) => (stopped = error));
    expect(stopped).to.have.property('message', 'enough');
  });

  it('leaves nothing open when it is stopped', async () => {
    let isOpen = false;
    function* work(): Generator<void, void> {
      isOpen = true;
      try {
        for (;;) yield;
      } finally {
        isOpen = false;
      }
    }
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 20);
    let stopped: unknown;
    await runInSlices(work(), abort.signal).catch((error: unknown) => (stopped = error));
    expect(stopped).to.have.property('message', 'enough');
    expect(isOpen).to.equal(false);
  });
});
