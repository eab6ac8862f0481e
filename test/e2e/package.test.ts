import { mkdir, mkdtemp, readFile, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { allCommands, manPages, VERSION } from '../../lib/cli/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { COMPILER, compileStrictly } from '../helpers/compile.js';
import { imgtool, startServe, type Served } from '../helpers/imgtool.js';
import { NODE_MAJORS, nodeDirectory } from '../helpers/nodes.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { run } from '../helpers/run.js';

describe('the package', () => {
  let directory: string;
  let archive: string;
  let registry: Served;
  let app: string;

  before(async () => {
    directory = await mkdtemp(join(btrfsDirectory('package'), 'x-'));
    // As built by the run of the tests: prepack would build once more.
    const packed = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', directory]);
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    archive = join(directory, filename);
    await mkdir(join(directory, 'registry'));
    registry = await startServe(join(directory, 'registry'));
    app = `${registry.host}/app:1`;
    const layout = join(directory, 'layout');
    await writeOciLayout(layout, [{ tag: 'a', layers: [{ entries: [{ path: 'hello', content: 'hello\n' }] }] }]);
    await imgtool(join(directory, 'unused'), 'copy', `oci:${layout}:a`, `docker://${app}`);
  });
  after(() => registry.stop());

  it('holds what runs, its documentation and its manual, and nothing else', async () => {
    const files = (await run('tar', ['-tzf', archive])).trim().split('\n');
    for (const name of ['CHANGELOG.md', 'LICENSE', 'README.md', 'docs/cli.md', 'dist/bundle/LICENSES'])
      expect(files).to.include(`package/${name}`);
    for (const shell of ['bash', 'zsh', 'fish']) expect(files).to.include(`package/dist/bundle/imgtool.${shell}`);
    const others =
      /^package\/(?:[A-Z]+(?:\.md)?|package\.json|docs\/.*|bin\/(?:imgtool|package\.json)|dist\/(?:bundle\/[^/]+|man\/[^/]+\.1|lib\/.*\.d\.ts))$/;
    expect(files.filter((name) => !others.test(name))).to.deep.equal([]);
    expect(files.filter((name) => name.endsWith('.map'))).to.deep.equal([]);
    const bundle = await run('sh', [
      '-c',
      `tar -xzOf '${archive}' package/dist/bundle/imgtool.js package/dist/bundle/index.js`,
    ]);
    expect(bundle).to.not.include('sourceMappingURL');
  });

  it('names its manual and what it needs at run time, and is built before it is packed', async () => {
    const manifest = JSON.parse(await readFile('package.json', 'utf8')) as {
      version: string;
      man: string[];
      scripts: Record<string, string>;
      dependencies?: object;
      optionalDependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    expect(manifest.version).to.equal(VERSION);
    expect(manifest.man.sort()).to.deep.equal(
      manPages(await allCommands())
        .map(({ file }) => `dist/man/${file}`)
        .sort(),
    );
    expect(manifest.scripts.prepack).to.match(/^rm -rf dist .*npm run build$/);
    // Native code of koffi alone, prebuilt for each architecture, of the version that is in the bundle.
    expect(manifest.dependencies).to.equal(undefined);
    for (const [name, version] of Object.entries(manifest.optionalDependencies))
      expect([name, version]).to.deep.equal([
        name.replace(/^.*-linux-/, '@koromix/koffi-linux-'),
        manifest.devDependencies.koffi,
      ]);
  });

  for (const major of NODE_MAJORS)
    it(`installs without a compiler and without a warning, and runs, on Node ${major}`, async () => {
      const prefix = join(directory, `prefix-${major}`);
      const env = {
        PATH: `${nodeDirectory(major)}:${process.env.PATH}`,
        ...{ CC: '/bin/false', CXX: '/bin/false' },
        npm_config_update_notifier: 'false',
        IMGTOOL_ROOT: join(directory, `store-${major}`),
      };
      const installed = await run(
        'sh',
        ['-c', 'npm install -g --prefer-offline --no-fund --no-audit --prefix "$1" "$2" 2>&1', 'sh', prefix, archive],
        { env },
      );
      expect(installed).to.match(/^\s*added \d packages in \S+\s*$/);
      const program = join(prefix, 'bin/imgtool');
      const installedRun = (...args: string[]): Promise<string> => run(program, args, { env });

      const { node, version } = JSON.parse(await installedRun('version', '--json')) as Record<string, string>;
      expect([version, node!.split('.')[0]]).to.deep.equal([VERSION, String(major)]);
      const id = (await installedRun('-q', 'pull', app)).trim();
      expect(id).to.match(/^sha256:[0-9a-f]{64}$/);
      await installedRun('create', '--name', 'box', app);
      expect(await readFile(join((await installedRun('mount', 'box')).trim(), 'hello'), 'utf8')).to.equal('hello\n');

      const manual = await run('man', ['-M', join(prefix, 'share/man'), 'imgtool-pull'], {
        env: { ...env, LC_ALL: 'C' },
      });
      expect(manual).to.include('imgtool-pull - pull image');
      // No ID of a container begins so.
      const completed = await run(
        'bash',
        [
          '-c',
          `source <("$0" completion bash); COMP_LINE='imgtool rm bo' COMP_POINT=13 COMP_WORDS=(imgtool rm bo) COMP_CWORD=2; PATH=$(dirname "$0"):$PATH; _imgtool; echo "\${COMPREPLY[@]}"`,
          program,
        ],
        { env },
      );
      expect(completed).to.equal('box\n');

      const example = await compileExample(prefix, 'pull-and-inspect');
      const output = await run(join(nodeDirectory(major), 'node'), [example, env.IMGTOOL_ROOT, app], { env });
      expect(output).to.include(`${app} is ${id}`).and.include('\nlayer sha256:');
    });

  /** Compiles a program of docs/examples strictly against what is installed; returns its path. */
  async function compileExample(prefix: string, name: string): Promise<string> {
    const project = join(prefix, 'project');
    await mkdir(join(project, 'node_modules'), { recursive: true });
    await symlink(join(prefix, 'lib/node_modules/imgtool'), join(project, 'node_modules/imgtool'));
    await run('cp', [resolve('docs/examples', `${name}.ts`), join(project, `${name}.mts`)]);
    await compileStrictly(COMPILER, {
      directory: project,
      files: [join(project, `${name}.mts`)],
      options: { module: 'NodeNext', moduleResolution: 'NodeNext' },
    });
    return join(project, `${name}.mjs`);
  }
});
