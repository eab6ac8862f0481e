import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { commandLine } from '../helpers/command-line.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { listenOnLoopback } from '../helpers/loopback-server.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';

const SALT = '$2y$04$abcdefghijklmnopqrstuu';
/** Passwords `pw-a` and `pw-b`, by crypt(3). */
const HTPASSWD = [`a:${SALT}vJuuus.tr91atCw1Xf6voqrjQ.RDx3G`, `b:${SALT}3Q6/QklE/4aH0/0BOnQYsw47XgylPGm`];

/** A registry behind a proxy that notes which user asks for which repository. */
interface Watched {
  readonly host: string;
  /** `user repository`, each once; `-` where no login was sent. */
  readonly seen: Set<string>;
  stop(): Promise<void>;
}

async function watch({ host }: DockerRegistry): Promise<Watched> {
  const seen = new Set<string>();
  const [hostname, port] = host.split(':');
  const server: Server = createServer((incoming, outgoing) => {
    const { method, url = '', headers } = incoming;
    const login = Buffer.from((headers.authorization ?? '').replace('Basic ', ''), 'base64').toString('utf8');
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(url)?.[1];
    seen.add(`${login.split(':')[0] || '-'} ${repository}`);
    const forward = request({ hostname, port, method, path: url, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  const { host: own, close } = await listenOnLoopback(server);
  return { host: own, seen, stop: close };
}

describe('a login for each side of copy and sync', () => {
  let directory: string;
  let registries: DockerRegistry[];
  let east: Watched;
  let west: Watched;
  let digest: string;
  const path = (name: string): string => join(directory, name);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-sides-'));
    digest = await writeSmallImage(path('layout'));
    registries = await Promise.all(
      HTPASSWD.map(async (line, i) => {
        // The first lets both in, the second only `b`.
        await writeFile(path(`htpasswd${i}`), `${i === 0 ? HTPASSWD.join('\n') : line}\n`);
        return startDockerRegistry({ config: { auth: { htpasswd: { realm: 'test', path: path(`htpasswd${i}`) } } } });
      }),
    );
    [east, west] = (await Promise.all(registries.map(watch))) as [Watched, Watched];
    const image = `docker://${registries[0]!.host}/from/app:1`;
    await run(
      'skopeo',
      ['copy', '-q', '--dest-tls-verify=false', '--dest-creds', 'a:pw-a'].concat([
        `oci:${path('layout')}:${SMALL_IMAGE_TAG}`,
        image,
      ]),
    );
    const auth = (host: string, login: string): object => ({ [host]: { auth: Buffer.from(login).toString('base64') } });
    await writeFile(path('a.json'), JSON.stringify({ auths: auth(east.host, 'a:pw-a') }));
    await writeFile(
      path('b.json'),
      JSON.stringify({ auths: { ...auth(east.host, 'b:pw-b'), ...auth(west.host, 'b:pw-b') } }),
    );
  });
  after(async () => {
    await Promise.all([east, west].map((proxy) => proxy.stop()));
    await Promise.all(registries.map((registry) => registry.stop()));
    await rm(directory, { recursive: true, force: true });
  });
  beforeEach(() => [east, west].forEach(({ seen }) => seen.clear()));

  const imgtool = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
    const home = { HOME: directory, XDG_RUNTIME_DIR: directory, XDG_CONFIG_HOME: directory, DOCKER_CONFIG: directory };
    const state = { XDG_CACHE_HOME: path('cache'), XDG_STATE_HOME: path('state') };
    const outcome = await commandLine(['--progress', 'none', ...args], {
      env: { ...process.env, ...home, ...state, ...env },
    });
    if (outcome.code !== 0) throw new Error(outcome.stderr);
    return outcome.stdout.trim();
  };
  const users = ({ seen }: Watched): string[] => [...seen].filter((line) => !line.startsWith('-')).sort();

  it('copy takes one from flags and one from a variable; neither goes to the other side', async () => {
    const args = ['copy', `${east.host}/from/app:1`, `${west.host}/to/app:1`];
    expect(await imgtool([...args, '--src-creds', 'a:pw-a'], { IMGTOOL_DEST_CREDS: 'b:pw-b' })).to.equal(digest);
    expect([users(east), users(west)]).to.deep.equal([['a from/app'], ['b to/app']]);
  });

  it('the same host has another login on each side', async () => {
    const args = ['copy', `${east.host}/from/app:1`, `${east.host}/to/app:2`];
    const files = ['--src-authfile', path('a.json'), '--dest-authfile', path('b.json')];
    expect(await imgtool([...args, ...files])).to.equal(digest);
    expect(users(east)).to.deep.equal(['a from/app', 'b to/app']);
  });

  it('a side without a login of its own has none of the other', async () => {
    const args = ['copy', `${east.host}/from/app:1`, `${west.host}/to/app:3`];
    const { message } = await rejection(imgtool([...args, '--dest-creds', 'b:pw-b']));
    expect(message).to.include(`log in with: imgtool login ${east.host}`);
    expect([users(east), users(west)]).to.deep.equal([[], []]);
  });

  it('one password does not go to two hosts', async () => {
    const to = [`${west.host}/to/app:4`, `${east.host}/to/app:4`];
    const { message } = await rejection(imgtool(['copy', `${east.host}/from/app:1`, ...to, '--dest-creds', 'b:pw-b']));
    expect(message).to.include(`--dest-creds goes to one registry, not to ${west.host}, ${east.host}`);
  });

  it('a sync file names the file of each side', async () => {
    const rule = { source: `${east.host}/from/app`, target: `${west.host}/synced/app` };
    const files = { 'source-authfile': path('a.json'), 'target-authfile': path('b.json') };
    await writeFile(path('mirrors.yaml'), JSON.stringify({ sync: [{ ...rule, ...files }] }));
    expect(await imgtool(['sync', path('mirrors.yaml')])).to.match(/^copied .*\n1 tags copied/);
    expect([users(east), users(west)]).to.deep.equal([['a from/app'], ['b synced/app']]);
  });

  it("a file of skopeo's brings its login, flags that of the targets", async () => {
    const source = {
      'tls-verify': false,
      credentials: { username: 'a', password: 'pw-a' },
      images: { 'from/app': [] },
    };
    await writeFile(path('skopeo.yaml'), JSON.stringify({ [east.host]: source }));
    const args = ['sync', path('skopeo.yaml'), `${west.host}/skopeo`, '--dest-creds', 'b:pw-b'];
    expect(await imgtool(args)).to.include('1 tags copied');
    expect([users(east), users(west)]).to.deep.equal([['a from/app'], ['b skopeo/app']]);
  });

  describe('--creds', () => {
    const bothHosts = (): string => `--creds goes to one registry, not to ${east.host}, ${west.host}`;

    it('is refused by copy and sync between two hosts, and neither is asked anything', async () => {
      for (const args of [
        ['copy', `${east.host}/from/app:1`, `${west.host}/to/app:5`],
        ['sync', `${east.host}/from/app`, `${west.host}/to/app`],
      ]) {
        const { message } = await rejection(imgtool([...args, '--creds', 'b:pw-b']));
        expect(message).to.include(bothHosts()).and.include('hint: use --src-creds and --dest-creds');
        const { message: byVariable } = await rejection(imgtool(args, { IMGTOOL_CREDS: 'b:pw-b' }));
        expect(byVariable).to.include('creds (variable IMGTOOL_CREDS) goes to one registry');
      }
      expect([[...east.seen], [...west.seen]]).to.deep.equal([[], []]);
    });

    it('is refused by manifest create with images of another host', async () => {
      const args = ['manifest', 'create', `${east.host}/from/all:1`, `${west.host}/to/app:1`, '--creds', 'b:pw-b'];
      expect((await rejection(imgtool(args))).message)
        .to.include(bothHosts())
        .and.include('imgtool login HOST');
      expect([[...east.seen], [...west.seen]]).to.deep.equal([[], []]);
    });

    it('is the login of the only side without one', async () => {
      const args = ['copy', `${east.host}/from/app:1`, `${west.host}/to/app:6`];
      expect(await imgtool([...args, '--creds', 'b:pw-b', '--src-creds', 'a:pw-a'])).to.equal(digest);
      expect([users(east), users(west)]).to.deep.equal([['a from/app'], ['b to/app']]);
    });

    it('is for the only registry that is named, from an archive or within that registry', async () => {
      const layout = `oci:${path('layout')}:${SMALL_IMAGE_TAG}`;
      expect(await imgtool(['copy', layout, `${west.host}/to/app:7`, '--creds', 'b:pw-b'])).to.equal(digest);
      const within = ['sync', `${east.host}/from/app`, `${east.host}/within/app`, '--dest-tls-verify=false'];
      expect(await imgtool([...within, '--creds', 'a:pw-a'])).to.include('1 tags copied');
      expect([users(east), users(west)]).to.deep.equal([['a from/app', 'a within/app'], ['b to/app']]);
    });

    it('is refused where the command names no registry', async () => {
      for (const args of [
        ['copy', `oci:${path('layout')}:${SMALL_IMAGE_TAG}`, `oci:${path('other')}:1`],
        ['store', 'fsck', '--repair'],
        ['save', 'app:1', '-o', path('app.tar')],
        ['worker', '--queue', 'redis://127.0.0.1:1'],
        ['diff', 'box'],
      ]) {
        const { message } = await rejection(imgtool([...args, '--root', path('none'), '--creds', 'b:pw-b']));
        expect(message, args[0]).to.include('--creds needs a registry on the command line');
      }
    });

    it('is not shown to a mirror that asks first, nor to a second registry of diff', async () => {
      const asked: (string | undefined)[] = [];
      const server = createServer(({ headers }, response) => {
        asked.push(headers.authorization);
        response.writeHead(401, { 'www-authenticate': 'Basic realm="mirror"' }).end();
      });
      const mirror = await listenOnLoopback(server);
      const tables = [
        `location = "${east.host}"`,
        '[[registry.mirror]]',
        `location = "${mirror.host}"`,
        'insecure = true',
      ];
      const root = path('store');
      try {
        await writeFile(path('registries.conf'), ['[[registry]]', ...tables].join('\n'));
        const env = { CONTAINERS_REGISTRIES_CONF: path('registries.conf') };
        const image = `docker://${east.host}/from/app:1`;
        const diff = (other: string): Promise<string> =>
          imgtool(['diff', '--root', root, image, other, '--creds', 'a:pw-a'], env);
        expect(await diff(image)).to.equal('');
        expect(asked.length).to.be.greaterThan(0);
        expect(asked.filter((header) => header !== undefined)).to.deep.equal([]);
        expect(users(east)).to.deep.equal(['a from/app']);
        expect((await rejection(diff(`docker://${west.host}/to/app:1`))).message).to.include(bothHosts());
      } finally {
        await mirror.close();
        await run('umount', [root]).catch(() => undefined);
      }
    });
  });
});
