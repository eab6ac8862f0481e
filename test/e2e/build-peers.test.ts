import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { Imgtool } from '../../lib/imgtool/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { CONTEXT, ROWS, type DockerfileRow } from '../helpers/dockerfile-table.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { makePodman, type Podman } from '../helpers/podman.js';
import { BUSYBOX, smallImage } from '../helpers/small-image.js';
import { listTree } from '../helpers/tree-listing.js';

/** What a tool built, as far as it is compared. */
interface Built {
  readonly tree: readonly string[];
  readonly config: Record<string, unknown>;
  readonly history: readonly string[];
}

interface ConfigDocument {
  readonly config: Record<string, unknown>;
  readonly history: readonly { readonly created_by?: string }[];
}

/** Where tools leave what they mounted for RUN. */
const MOUNTED = /^(?:dev|proc|sys|run|etc\/(?:hosts|hostname|resolv\.conf))(?:\/|$)/;
const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function treeOf(directory: string): string[] {
  return [...listTree(directory, { withoutRoot: true }).values()]
    .filter(({ path }) => !MOUNTED.test(path))
    .map(({ path, type, mode, owner, target = '', content = '' }) =>
      [path, type, mode, owner, target, content].join(' '),
    );
}

/** Fields that say the same when they are empty or missing are left out. */
function configOf({ config }: ConfigDocument): Record<string, unknown> {
  const {
    Labels = {},
    Env = [],
    WorkingDir = '/',
    ...rest
  } = config as {
    Labels?: Record<string, string> | null;
    Env?: string[];
    WorkingDir?: string;
  };
  const labels = Object.fromEntries(Object.entries(Labels ?? {}).filter(([name]) => name !== 'io.buildah.version'));
  const compared = { ...rest, Labels: labels, Env: Env.filter((entry) => entry !== DEFAULT_PATH) };
  const wanted = [
    'Cmd',
    'Entrypoint',
    'User',
    'ExposedPorts',
    'Volumes',
    'StopSignal',
    'Healthcheck',
    'OnBuild',
    'Shell',
  ];
  const entries: [string, unknown][] = [
    ...Object.entries(compared).filter(
      ([name, value]) => [...wanted, 'Labels', 'Env'].includes(name) && value !== null && !isEmpty(value),
    ),
    ['WorkingDir', WorkingDir === '' ? '/' : WorkingDir],
  ];
  return Object.fromEntries(entries);
}

function isEmpty(value: unknown): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}

/** The instructions of the history, by keyword: the rest of the words is each tool's own. */
function historyOf({ history }: ConfigDocument): string[] {
  return history.flatMap(({ created_by: text = '' }) => {
    if (!/^(?:\/bin\/|\||[A-Z]+ )/.test(text)) return [];
    const own = /#\(nop\)\s+([A-Za-z]+)/.exec(text)?.[1]?.toUpperCase() ?? /^([A-Z]+) /.exec(text)?.[1] ?? 'RUN';
    return [own];
  });
}

describe('build, compared with buildah', function () {
  this.timeout(300_000);
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-build-peers-'));
  const context = join(directory, 'context');
  let imgtool: Imgtool;
  let podman: Podman;

  before(async () => {
    for (const [path, content] of Object.entries(CONTEXT)) {
      const target = join(context, path);
      mkdirSync(dirname(target), { recursive: true });
      if (path.endsWith('/')) mkdirSync(target);
      else if (content.startsWith('->')) symlinkSync(content.slice(2), target);
      else writeFileSync(target, content.replace(/^!x/, ''));
      if (content.startsWith('!x')) chmodSync(target, 0o755);
    }
    const { layers, ...image } = smallImage(readFileSync(BUSYBOX));
    await writeOciLayout(join(directory, 'base'), [{ ...image, layers: layers.slice(0, 1) }]);
    imgtool = new Imgtool({ root: join(btrfsDirectory('build-peers'), 'store') });
    await imgtool.copy(`oci:${directory}/base:1`, ['store:localhost/base:1']);
    podman = await makePodman();
    const archive = join(directory, 'base.tar');
    await imgtool.save(['localhost/base:1'], archive);
    await podman.podman('load', '-q', '-i', archive);
  });
  after(async () => {
    await imgtool.close();
    await podman.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  async function byImgtool(file: string, { args = [] }: DockerfileRow): Promise<Built> {
    const valueOf = (name: string): string | undefined =>
      args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
    const buildArg = valueOf('--build-arg');
    const { id } = await imgtool.build(context, {
      file,
      target: valueOf('--target'),
      buildArgs: buildArg === undefined ? [] : [buildArg],
    });
    const inspected = await imgtool.inspect(id, { type: 'image' });
    const document = JSON.parse(Buffer.from(inspected.config).toString()) as ConfigDocument;
    const box = await imgtool.create(id);
    const tree = treeOf(await imgtool.mount(box.id));
    await imgtool.rm(box.id);
    return { tree, config: configOf(document), history: historyOf(document) };
  }

  async function byBuildah(file: string, { args = [] }: DockerfileRow): Promise<Built> {
    const id = (
      await podman.buildah(
        'bud',
        '-q',
        '--layers=false',
        '--format',
        'docker',
        '--isolation',
        // Its crun refuses control groups of two versions.
        'chroot',
        '--network',
        'host',
        ...args,
        '-f',
        file,
        context,
      )
    ).trim();
    const { tree, config } = await podman.readImage(id);
    const document = JSON.parse(config) as ConfigDocument;
    return { tree: treeOf(tree), config: configOf(document), history: historyOf(document) };
  }

  it("reads of buildah's images what buildah and podman tell of them", async () => {
    const file = join(directory, 'Dockerfile.read');
    writeFileSync(file, 'FROM localhost/base:1\nLABEL a=b\nCOPY a /a\n');
    const id = (await podman.buildah('bud', '-q', '--format', 'docker', '-f', file, context)).trim();
    const { tree, config } = await podman.readImage(id);
    expect(tree).to.equal(await podman.mountImage(id));
    const inspected = await podman.buildah('inspect', '--type', 'image', '--format', '{{.Config}}', id);
    expect(JSON.parse(config)).to.deep.equal(JSON.parse(inspected));
  });

  it('has at least 60 Dockerfiles', () => {
    expect(ROWS.length).to.be.at.least(60);
  });

  for (const [index, row] of ROWS.entries())
    it(row.title, async () => {
      const file = join(directory, `Dockerfile.${index}`);
      writeFileSync(file, row.dockerfile.replace(/^FROM base\b/gm, 'FROM localhost/base:1'));
      const [ours, theirs] = [await byImgtool(file, row), await byBuildah(file, row)];
      const { differs = {} } = row;
      if (differs.tree === undefined) expect(ours.tree).to.deep.equal(theirs.tree);
      if (differs.config === undefined) expect(ours.config).to.deep.equal(theirs.config);
      if (differs.history === undefined) expect(ours.history).to.deep.equal(theirs.history);
      // A row that says that buildah differs has to be right about it.
      for (const part of ['tree', 'config', 'history'] as const)
        if (differs[part] !== undefined) expect(ours[part], differs[part]).not.to.deep.equal(theirs[part]);
    });
});
