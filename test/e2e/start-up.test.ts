import { execFile } from 'node:child_process';
import { chmod, cp, mkdtemp, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { readCodeCache } from '../../lib/cli/code-cache.js';
import { makeBtrfsLoop } from '../helpers/btrfs-loop.js';
import { IMGTOOL } from '../helpers/imgtool.js';

const EXPECTED = { code: 0, stdout: '0.1.0\n', stderr: '' };

describe('start-up', () => {
  let home: string;
  let caches: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'imgtool-start-'));
    caches = join(home, '.cache/imgtool/compiled');
  });
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

  /** The one file of compiled code. */
  async function cache(): Promise<string> {
    const names = await readdir(caches);
    expect(names).to.have.length(1);
    return join(caches, names[0]!);
  }

  const images = (): string[] => ['--root', join(home, 'store'), 'images'];

  it('keeps what was compiled, for the user alone, and adds what another command needs', async () => {
    expect(await start()).to.deep.equal(EXPECTED);
    const path = await cache();
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect((await stat(caches)).mode & 0o777).to.equal(0o700);
    const first = readCodeCache(path)!;
    expect(first.commands).to.deep.equal(['none']);
    expect([...first.files.keys()]).to.include('imgtool.js');

    expect((await start(images())).code).to.equal(0);
    const second = readCodeCache(await cache())!;
    expect(second.commands).to.deep.equal(['none', 'images']);
    expect(second.files.size).to.be.greaterThan(first.files.size);

    const written = (await stat(path)).ino;
    expect(await start()).to.deep.equal(EXPECTED);
    expect((await start(images())).code).to.equal(0);
    expect((await stat(await cache())).ino).to.equal(written);
  });

  it('uses what was kept: V8 takes it', async () => {
    await start();
    const check = `
      const vm = require('node:vm'), { Script } = vm, taken = [];
      vm.Script = class extends Script {
        constructor(text, options) { super(text, options); taken.push(this.cachedDataRejected); }
      };
      process.argv = [process.argv[0], 'imgtool', '--version'];
      process.on('exit', () => require('node:fs').writeSync(1, JSON.stringify(taken)));
      require(${JSON.stringify(resolve('dist/bundle/start.js'))});`;
    const { stdout } = await start(['-e', check], { program: process.execPath });
    // Node's own flag, -e, makes another cache: the first of these runs fills it.
    const again = await start(['-e', check], { program: process.execPath });
    expect(stdout).to.match(/^0\.1\.0\n\[(null,?)+\]$/);
    expect(again.stdout).to.match(/^0\.1\.0\n\[(false,?)+\]$/);
  });

  for (const { title, damage } of [
    { title: 'is cut off', damage: (data: Buffer) => data.subarray(0, data.length >> 1) },
    { title: 'is empty', damage: () => Buffer.alloc(0) },
    {
      title: 'has a wrong byte in the code',
      damage: (data: Buffer) => {
        data[data.length >> 1]! ^= 0xff;
        return data;
      },
    },
    { title: 'ends in zeros, as after a loss of power', damage: (data: Buffer) => data.fill(0, data.length >> 2) },
  ])
    it(`starts all the same when the cache ${title}, and replaces it`, async () => {
      await start();
      const path = await cache();
      const whole = await readFile(path);
      await writeFile(path, damage(Buffer.from(whole)));
      expect(readCodeCache(path)).to.equal(undefined);
      expect(await start()).to.deep.equal(EXPECTED);
      expect(readCodeCache(await cache())?.commands).to.deep.equal(['none']);
    });

  it('starts all the same when V8 does not take the code, and replaces it', async () => {
    await start();
    const path = await cache();
    // Made under other flags: V8 compares them.
    await start(['--version'], { env: { NODE_OPTIONS: '--max-old-space-size=300' } });
    const other = (await readdir(caches)).map((name) => join(caches, name)).find((name) => name !== path)!;
    const [mine, foreign] = await Promise.all([readFile(path), readFile(other)]);
    await writeFile(path, foreign);
    expect(await start()).to.deep.equal(EXPECTED);
    const after = await readFile(path);
    expect(after.equals(foreign)).to.equal(false);
    expect(after.length).to.be.closeTo(mine.length, mine.length / 4);
  });

  it('does not trust a cache that others could write', async () => {
    await start();
    const path = await cache();
    await chmod(path, 0o620);
    const before = (await stat(path)).ino;
    expect(readCodeCache(path)).to.equal(undefined);
    expect(await start()).to.deep.equal(EXPECTED);
    expect((await stat(path)).ino).not.to.equal(before);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
  });

  it('neither reads nor writes a cache of another user', async function () {
    if (process.getuid!() !== 0) return this.skip();
    await start();
    const path = await cache();
    const before = await readFile(path);
    // The program lies where another user can read it.
    const program = join(home, 'program');
    for (const name of ['bin/imgtool', 'bin/package.json', 'dist/bundle'])
      await cp(resolve(name), join(program, name), { recursive: true });
    await symlink(resolve('node_modules'), join(program, 'node_modules'));
    for (const [place, mode] of [
      [home, 0o755],
      [caches, 0o777],
      [path, 0o644],
      [join(home, '.cache'), 0o777],
      [join(home, '.cache/imgtool'), 0o777],
    ] as const)
      await chmod(place, mode);
    expect(await start(['--version'], { program: join(program, 'bin/imgtool'), uid: 65534 })).to.deep.equal(EXPECTED);
    expect(await readdir(caches)).to.have.length(1);
    expect((await readFile(path)).equals(before)).to.equal(true);
  });

  it('finds native code where packages are not laid out flat', async () => {
    const program = join(home, 'program');
    const packages = join(home, 'packages/node_modules');
    for (const name of ['bin/imgtool', 'bin/package.json', 'dist/bundle'])
      await cp(resolve(name), join(program, name), { recursive: true });
    for (const name of ['koffi', '@koromix'])
      await cp(resolve('node_modules', name), join(packages, name), { recursive: true });
    await mkdir(join(program, 'node_modules'));
    await symlink(join(packages, 'koffi'), join(program, 'node_modules/koffi'));
    const btrfs = await makeBtrfsLoop();
    try {
      const args = ['--root', join(btrfs.path, 'store'), 'store', 'init'];
      expect(await start(args, { program: join(program, 'bin/imgtool') })).to.include({ code: 0, stderr: '' });
      await stat(join(btrfs.path, 'store/layers'));
    } finally {
      await btrfs.remove();
    }
  });

  it('starts without a home, or with one that takes nothing', async () => {
    expect(await start(['--version'], { env: { HOME: '' } })).to.deep.equal(EXPECTED);
    await writeFile(join(home, 'file'), '');
    expect(await start(['--version'], { env: { HOME: join(home, 'file') } })).to.deep.equal(EXPECTED);
    expect(await start(['--version'], { env: { XDG_CACHE_HOME: '/proc' } })).to.deep.equal(EXPECTED);
    expect(await readdir(home)).to.deep.equal(['file']);
  });

  it('many first starts at once leave one whole cache', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => start()));
    for (const outcome of outcomes) expect(outcome).to.deep.equal(EXPECTED);
    expect(readCodeCache(await cache())?.commands).to.deep.equal(['none']);
  });

  it('a command that fails leaves no cache', async () => {
    expect((await start(['sevre'])).code).to.equal(2);
    expect(await readdir(home)).to.deep.equal([]);
  });

  it('removes the oldest caches, and nothing else', async () => {
    await mkdir(caches, { recursive: true, mode: 0o700 });
    const names = Array.from({ length: 8 }, (_, index) => `old-${index}.code`);
    for (const [index, name] of [...names, 'other'].entries()) {
      await writeFile(join(caches, name), '');
      await utimes(join(caches, name), index, index);
    }
    await start();
    const left = await readdir(caches);
    expect(left).to.include.members(['other', 'old-7.code']).and.not.include('old-0.code');
    expect(left).to.have.length(7);
  });
});
