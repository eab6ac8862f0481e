import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { makeBtrfsLoop } from '../helpers/btrfs-loop.js';
import { IMGTOOL } from '../helpers/imgtool.js';

const EXPECTED = { code: 0, stdout: '0.2.0\n', stderr: '' };
/** A user other than root that every Linux has, and whose home is not there. */
const NOBODY = 65534;

describe('start-up', () => {
  let home: string;
  beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'imgtool-start-'))));
  afterEach(() => rm(home, { recursive: true, force: true }));

  async function start(
    args: readonly string[] = ['--version'],
    { program = IMGTOOL, env = {}, uid }: { program?: string; env?: Record<string, string>; uid?: number } = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const options = {
      env: { PATH: process.env.PATH, HOME: home, ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    };
    return new Promise((done) =>
      execFile(program, [...args], options, (error, stdout, stderr) =>
        done({ code: error === null ? 0 : ((error.code as number | undefined) ?? -1), stdout, stderr }),
      ),
    );
  }

  /** A copy of the built program, without its packages. */
  async function copyProgram(): Promise<string> {
    const program = join(home, 'program');
    for (const name of ['bin/imgtool', 'bin/package.json', 'dist/bundle', 'package.json'])
      await cp(resolve(name), join(program, name), { recursive: true });
    return program;
  }

  it('keeps nothing in the home of root, and starts without a home or with one that takes nothing', async () => {
    expect(await start()).to.deep.equal(EXPECTED);
    expect((await start(['--root', join(home, 'store'), 'images'])).code).to.equal(0);
    expect(await start(['--version'], { env: { HOME: '' } })).to.deep.equal(EXPECTED);
    expect(await start(['--version'], { env: { HOME: '/proc', XDG_CACHE_HOME: '/proc' } })).to.deep.equal(EXPECTED);
    expect(await readdir(home)).to.deep.equal([]);
  });

  for (const version of ['18.20.8', '20.18.1', '12.0.0'])
    it(`says in one line what it needs under Node.js ${version}`, async () => {
      const pretend = join(home, 'pretend.cjs');
      await writeFile(pretend, `Object.defineProperty(process.versions, 'node', { value: '${version}' });`);
      const { code, stdout, stderr } = await start(['images'], { env: { NODE_OPTIONS: `--require=${pretend}` } });
      expect([code, stdout]).to.deep.equal([7, '']);
      expect(stderr).to.equal(
        `imgtool: start failed: it needs Node.js 20.19 or newer, and this is ${version}\nhint: install a newer Node.js\n`,
      );
    });

  it('has node keep compiled code for users other than root, in the home that the system knows, whatever HOME says', async () => {
    // As in node 22.8 and later.
    const preload = join(home, 'preload.cjs');
    await writeFile(
      preload,
      `require('node:module').enableCompileCache = (directory) => process.stderr.write('kept in ' + directory);`,
    );
    const program = join(await copyProgram(), 'bin/imgtool');
    const env = { NODE_OPTIONS: `--require ${preload}`, XDG_CACHE_HOME: home };
    await makeReadable(home);
    expect(await start(['--version'], { program, env })).to.deep.equal(EXPECTED);
    if (process.getuid!() !== 0) return;
    const { stderr } = await start(['--version'], { program, env, uid: NOBODY });
    expect(stderr)
      .to.match(/^kept in \/\S*\/\.cache\/imgtool\/compiled$/)
      .and.not.include(home);
    expect(stderr).to.not.include(userInfo().homedir);
    // A user that the system does not know.
    expect(await start(['--version'], { program, env, uid: 64_321 })).to.deep.equal(EXPECTED);
  });

  it('finds native code where packages are not laid out flat', async () => {
    const program = await copyProgram();
    const packages = join(home, 'packages/node_modules');
    await cp(resolve('node_modules/@koromix'), join(packages, '@koromix'), { recursive: true });
    await mkdir(join(program, 'node_modules'));
    await symlink(join(packages, '@koromix'), join(program, 'node_modules/@koromix'));
    const btrfs = await makeBtrfsLoop();
    try {
      const args = ['--root', join(btrfs.path, 'store'), 'store', 'init'];
      expect(await start(args, { program: join(program, 'bin/imgtool') })).to.include({ code: 0, stderr: '' });
      await stat(join(btrfs.path, 'store/layers'));
    } finally {
      await btrfs.remove();
    }
  });

  it('reads the command line with less than 52 kB of code in few files', async () => {
    const loaded = await codeOf(['--version']);
    expect([...loaded.keys()].filter((name) => name.includes('/dist/bundle/')).length).to.be.within(1, 4);
    expect(sizeOf(loaded)).to.be.lessThan(52_000);
    expect(textOf(loaded)).to.include('// lib/cli/main.ts').and.not.include('// lib/imgtool/imgtool.ts');
  });

  it('lists images with less than 150 kB of code, and none that speaks to registries or changes a store', async () => {
    const btrfs = await makeBtrfsLoop();
    try {
      const root = ['--root', join(btrfs.path, 'store')];
      const tar = join(home, 'empty.tar');
      await writeFile(tar, Buffer.alloc(10_240));
      expect(await start([...root, 'import', tar, 'localhost:5000/a:1'])).to.include({ code: 0 });
      const loaded = await codeOf([...root, 'images']);
      expect(sizeOf(loaded)).to.be.within(100_000, 150_000);
      expect(textOf(loaded)).to.include('// lib/imgtool/image-list.ts');
      for (const unused of ['node_modules/', 'lib/http/', 'lib/registry/', 'lib/sys/', 'lib/layer/', 'lib/cli/help.ts'])
        expect(textOf(loaded), unused).to.not.match(new RegExp(`^// (?:\\S*/)?${unused}`, 'm'));
    } finally {
      await btrfs.remove();
    }
  });

  /** The scripts that a command loads, by path. */
  async function codeOf(args: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const coverage = join(home, 'coverage');
    expect(await start(args, { env: { NODE_V8_COVERAGE: coverage } })).to.include({ code: 0, stderr: '' });
    const loaded = new Map<string, string>();
    for (const name of await readdir(coverage)) {
      const { result } = JSON.parse(await readFile(join(coverage, name), 'utf8')) as { result: { url: string }[] };
      for (const { url } of result.filter((script) => script.url.startsWith('file:')))
        loaded.set(fileURLToPath(url), await readFile(new URL(url), 'utf8'));
    }
    await rm(coverage, { recursive: true });
    return loaded;
  }
});

function textOf(scripts: ReadonlyMap<string, string>): string {
  return [...scripts.values()].join('');
}

function sizeOf(scripts: ReadonlyMap<string, string>): number {
  return Buffer.byteLength(textOf(scripts));
}

async function makeReadable(directory: string): Promise<void> {
  await new Promise((done) => execFile('chmod', ['-R', 'a+rX', directory], done));
}
