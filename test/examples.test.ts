import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from './helpers/btrfs.js';
import { COMPILER, compileStrictly, OLDEST_COMPILER } from './helpers/compile.js';
import { startDockerRegistry, type DockerRegistry } from './helpers/docker-registry.js';
import { writeOciLayout } from './helpers/oci-layout.js';
import { run } from './helpers/run.js';
import { skopeoCopy } from './helpers/skopeo.js';

const SOURCES = resolve('docs/examples');
/** Inside the package, which finds itself by its name only from there. */
const COMPILED = resolve('dist/test/examples');

const ETC = { path: 'etc', type: 'dir' } as const;
const file = (path: string, data: string) => ({ path, content: data }) as const;

describe('the programs of docs/examples', () => {
  let registry: DockerRegistry;
  let directory: string;
  let names: string[];

  before(async () => {
    registry = await startDockerRegistry();
    directory = await mkdtemp(join(btrfsDirectory('examples'), 'x-'));
    const one = [{ entries: [ETC, file('etc/os-release', 'ID=one\n'), file('etc/gone', 'gone\n')] }];
    const two = [
      ...one,
      { entries: [file('etc/.wh.gone', ''), { path: 'etc/name', type: 'link', target: '../etc/os-release' } as const] },
    ];
    await writeOciLayout(join(directory, 'layout'), [
      { tag: 'one', layers: one },
      { tag: 'two', layers: two },
    ]);
    for (const tag of ['one', 'two'])
      await skopeoCopy(`oci:${join(directory, 'layout')}:${tag}`, `docker://${registry.host}/app:${tag}`);
    names = (await readdir(SOURCES)).filter((name) => name.endsWith('.ts'));
    await mkdir(COMPILED, { recursive: true });
  });
  after(() => registry.stop());

  for (const [kind, compiler, options] of [
    ['nodenext, the oldest TypeScript', OLDEST_COMPILER, { module: 'NodeNext', moduleResolution: 'NodeNext' }],
    ['nodenext, the newest TypeScript', COMPILER, { module: 'NodeNext', moduleResolution: 'NodeNext' }],
    ['bundler, the newest TypeScript', COMPILER, { module: 'ESNext', moduleResolution: 'Bundler' }],
  ] as const) {
    it(`compile strictly, declarations of the library included (${kind})`, () =>
      compileStrictly(compiler, {
        directory: COMPILED,
        files: names.map((name) => join(SOURCES, name)),
        options: { ...options, rootDir: SOURCES, outDir: COMPILED },
      }));
  }

  const example = (name: string, ...args: string[]): Promise<string> =>
    run(process.execPath, [join(COMPILED, `${name}.js`), ...args]);

  it('pull-and-inspect', async () => {
    const output = await example('pull-and-inspect', join(directory, 'store'), `${registry.host}/app:two`);
    expect(output).to.match(/is sha256:[0-9a-f]{64}, linux\/\S+: [1-9]\d* bytes fetched\n(layer sha256:\S+ \d+\n){2}$/);
  });

  it('change-commit-push', async () => {
    const target = `${registry.host}/changed:1`;
    const output = await example('change-commit-push', join(directory, 'store'), `${registry.host}/app:one`, target);
    expect(output).to.match(/^(C \/\n)?A \/hello\npushed sha256:[0-9a-f]{64}\n$/);
    const [, digest] = /pushed (\S+)/.exec(output)!;
    const inspected = await run('skopeo', [
      'inspect',
      '--tls-verify=false',
      `docker://${registry.host}/changed:latest`,
    ]);
    expect(inspected).to.include(digest).and.include('GREETING=hello');
  });

  it('mirror-with-progress', async () => {
    const output = await example('mirror-with-progress', `${registry.host}/app:one`, `${registry.host}/mirror:one`);
    expect(output).to.match(/^sha256:[0-9a-f]{64}: \d+ bytes sent\n$/);
  });

  it('diff-remote-images', async () => {
    const refs = ['two', 'one'].map((tag) => `${registry.host}/app:${tag}`);
    const output = await example('diff-remote-images', join(directory, 'store'), ...refs);
    expect(output).to.match(/^(C \/etc\n)?D \/etc\/gone\nA \/etc\/name\n$/);
  });

  it('registry-for-tests', async () => {
    expect(await example('registry-for-tests', `${registry.host}/app:one`)).to.equal("[ '1' ] [ 'app' ]\n");
  });

  it('read-remote-file: through a link of an upper layer, and not what a whiteout removed', async () => {
    const ref = `${registry.host}/app:two`;
    expect(await example('read-remote-file', ref, '/etc/name')).to.equal('ID=one\n');
    let problem = '';
    await example('read-remote-file', ref, '/etc/gone').catch((error: Error) => (problem = error.message));
    expect(problem).to.include('no /etc/gone in');
    expect(await example('read-remote-file', `${registry.host}/app:one`, '/etc/gone')).to.equal('gone\n');
  });

  it('are what docs/library.md shows', async () => {
    const page = await readFile('docs/library.md', 'utf8');
    for (const name of names) {
      const text = await readFile(join(SOURCES, name), 'utf8');
      expect(page, basename(name)).to.include(`\`\`\`ts\n${text}\`\`\``);
    }
  });
});
