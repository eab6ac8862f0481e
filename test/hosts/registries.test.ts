import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { registrySources, shortNames, type RegistrySources } from '../../lib/hosts/index.js';

const CONF = `
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "127.0.0.1:5000"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
prefix = "docker.io/secret"
location = "docker.io/secret"
blocked = true

[[registry]]
prefix = "old.example/team"
location = "new.example/a/b"
insecure = true

[[registry]]
prefix = "*.internal.example"
[[registry.mirror]]
location = "cache.example"
pull-from-mirror = "tag-only"

[[registry]]
location = "pinned.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
`;

describe('registries.conf and daemon.json', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'imgtool-home-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));
  function write(path: string, text: string): string {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), text);
    return join(home, path);
  }
  const load = (conf?: string): Promise<RegistrySources> =>
    registrySources({ env: conf === undefined ? {} : { CONTAINERS_REGISTRIES_CONF: write('conf', conf) }, home });
  const shown = (sources: RegistrySources, name: string): string[] => {
    const slash = name.indexOf('/');
    return sources
      .of(name.slice(0, slash), name.slice(slash + 1))
      .map(({ host, repository, insecure, only }) =>
        [`${host}/${repository}`, ...(insecure ? ['insecure'] : []), ...(only === undefined ? [] : [only])].join(' '),
      );
  };

  const cases: readonly { readonly name: string; readonly want: readonly string[] }[] = [
    {
      name: 'docker.io/library/alpine',
      want: [
        'mirror.example/hub/library/alpine',
        '127.0.0.1:5000/library/alpine insecure digest',
        'docker.io/library/alpine',
      ],
    },
    {
      name: 'docker.io/secretive/x',
      want: ['mirror.example/hub/secretive/x', '127.0.0.1:5000/secretive/x insecure digest', 'docker.io/secretive/x'],
    },
    { name: 'old.example/team/app', want: ['new.example/a/b/app insecure'] },
    { name: 'old.example/team', want: ['new.example/a/b insecure'] },
    { name: 'old.example/teams/app', want: ['old.example/teams/app'] },
    { name: 'old.example:5000/team/app', want: ['old.example:5000/team/app'] },
    { name: 'a.b.internal.example/x', want: ['cache.example/x tag', 'a.b.internal.example/x'] },
    { name: 'internal.example/x', want: ['internal.example/x'] },
    { name: 'evil.example/a.internal.example/x', want: ['evil.example/a.internal.example/x'] },
    { name: 'pinned.example/x', want: ['m.example/x digest', 'pinned.example/x'] },
  ];
  for (const { name, want } of cases)
    it(`knows where to read ${name}`, async () => {
      expect(shown(await load(CONF), name)).to.deep.equal(want);
    });

  it('refuses what is blocked, naming the file', async () => {
    const sources = await load(CONF);
    expect(() => sources.of('docker.io', 'secret/x')).to.throw(
      UsageError,
      /docker\.io\/secret\/x is blocked in .*conf$/,
    );
    expect(() => sources.check('docker.io', 'secret/x')).to.throw(UsageError, /is blocked in/);
    expect(() => sources.check('files.example', 'Some/where')).to.not.throw();
  });

  it('lets a drop-in take the place of a table, and the file of the user that of the machine', async () => {
    write(
      '.config/containers/registries.conf',
      '[[registry]]\nlocation="a.example"\n[[registry.mirror]]\nlocation="one.example"\n',
    );
    write(
      '.config/containers/registries.conf.d/1.conf',
      '[[registry]]\nlocation="a.example"\n[[registry.mirror]]\nlocation="two.example"\n',
    );
    expect(shown(await load(), 'a.example/x')).to.deep.equal(['two.example/x', 'a.example/x']);
  });

  it("takes Docker's mirrors for Docker Hub alone, and its insecure registries", async () => {
    const daemon = {
      'registry-mirrors': ['https://m.example', 'http://n.example:5000/'],
      'insecure-registries': ['lan:5000', '10.0.0.0/8'],
    };
    write('.config/docker/daemon.json', JSON.stringify(daemon));
    const sources = await load('');
    expect(shown(sources, 'docker.io/library/x')).to.deep.equal([
      'm.example/library/x',
      'n.example:5000/library/x insecure',
      'docker.io/library/x',
    ]);
    expect(shown(sources, 'lan:5000/x')).to.deep.equal(['lan:5000/x insecure']);
    expect(['lan:5000', 'lan', '10.1.2.3:80', '11.0.0.1'].filter(sources.insecure)).to.deep.equal([
      'lan:5000',
      '10.1.2.3:80',
    ]);
    const conf = '[[registry]]\nlocation="docker.io"\n[[registry.mirror]]\nlocation="own.example"\n';
    expect(shown(await load(conf), 'docker.io/library/x')).to.deep.equal([
      'own.example/library/x',
      'docker.io/library/x',
    ]);
  });

  it('takes no address with a slash behind it for a block of addresses', async () => {
    const daemon = { 'insecure-registries': ['10.0.0.5/', '10.1.0.0/99', 'https://10.2.0.0/16'] };
    write('.config/docker/daemon.json', JSON.stringify(daemon));
    const sources = await load('');
    expect(['8.8.8.8', '10.0.0.5', '10.0.0.6', '10.1.0.1', '10.2.3.4'].filter(sources.insecure)).to.deep.equal([
      '10.0.0.5',
      '10.2.3.4',
    ]);
  });

  it('refuses a location that is a host without a repository for a name that is all prefix', async () => {
    const sources = await load('[[registry]]\nprefix="old.example/app"\nlocation="new.example"\n');
    expect(shown(sources, 'old.example/app/x')).to.deep.equal(['new.example/x']);
    expect(() => sources.of('old.example', 'app')).to.throw(UsageError, /conf is invalid: .* has no repository$/);
  });

  it('knows the full names of aliases, whole names without a host alone, the last file wins', async () => {
    write(
      'conf',
      '[aliases]\nfedora = "r.example/fedora"\n"team/app" = "lan:5000/a/b"\ngone = "r.example/gone"\nbad = "x/y"\n',
    );
    write('.config/containers/registries.conf.d/1.conf', '[aliases]\ngone = ""\nfedora = "late.example/fedora"\n');
    const full = await shortNames({ env: { CONTAINERS_REGISTRIES_CONF: join(home, 'conf') }, home });
    const digest = `sha256:${'a'.repeat(64)}`;
    for (const [name, want] of [
      ['fedora', 'late.example/fedora'],
      ['fedora:40', 'late.example/fedora:40'],
      [`fedora:40@${digest}`, `late.example/fedora:40@${digest}`],
      [`team/app@${digest}`, `lan:5000/a/b@${digest}`],
      ...['gone:1', 'team/app/x', 'app', 'team', 'lan:5000/fedora', 'docker.io/fedora', 'localhost/fedora'].map(same),
      ...['docker://fedora', 'library/fedora', 'oci:fedora', 'store:fedora', '', ':1', '__proto__'].map(same),
    ] as const)
      expect(full(name), name).to.equal(want);
    expect(() => full('bad:1')).to.throw(UsageError, /conf is invalid: the alias "bad" does not stand for HOST/);
  });

  const bad: readonly { readonly text: string; readonly want: RegExp }[] = [
    { text: '[[registry]]\nlocation = ', want: /conf is invalid: / },
    { text: '[registry]\nlocation="a"', want: /is not a list/ },
    { text: '[[registry]]\nblocked=true', want: /neither prefix nor location/ },
    { text: '[[registry]]\nprefix="a.example"', want: /a\.example has no location/ },
    {
      text: '[[registry]]\nlocation="a"\n[[registry.mirror]]\nlocation="b"\npull-from-mirror="x"',
      want: /is not one of all/,
    },
    ...['https://a.example', 'a b', 'a.example?x', 'a.example//b', '*.example'].map((location) => ({
      text: `[[registry]]\nlocation="${location}"`,
      want: /is not HOST\[:PORT\]\[\/PATH\]$/,
    })),
    { text: '[[registry]]\nlocation="a"\n[[registry.mirror]]\nlocation="http://b"', want: /"http:\/\/b" is not HOST/ },
    { text: '[registries.search]\nregistries=["a"]', want: /version 1 format/ },
  ];
  for (const { text, want } of bad)
    it(`refuses ${JSON.stringify(text)}`, async () => {
      let error: unknown;
      await load(text).catch((raised: unknown) => (error = raised));
      expect(error).to.be.instanceOf(UsageError);
      expect((error as Error).message).to.match(want);
    });
});

function same(name: string): [string, string] {
  return [name, name];
}
