import { expect } from 'chai';
import { ALL_TAGS, readSyncFile, type SyncRule } from '../../../lib/operations/index.js';
import { rejection } from '../../helpers/rejection.js';

const read = (text: string, targets: string[] = [], scoped = false): Promise<SyncRule[]> =>
  readSyncFile(text, 'm.yaml', { targets, scoped });

describe('operations/sync: files', () => {
  it('reads all that can be said', async () => {
    const [rule, registry, oldest] = await read(`
version: 1
sync:
  - source: docker.io/library/alpine
    targets: [east:5000/base/alpine, "west.example"]
    tags:
      allow: "3.*"
      deny: [3.1, "*-rc*"]
      deny-regex: ^edge
      semver: [">=3.10", ^2]
      newest: 5
      newest-by: created
      since: 30d
    platforms: [linux/amd64, arm64]
    referrers: true
    delete-extra: true
    protect: [keep-*]
    hook: [/usr/bin/notify, "{target}"]
  - source: old.example/
    repositories: [a/b, c]
    target: new.example/mirror
    tags: [latest, "1"]
    delete-extra: true
    max-delete: 3
  - source: docker-v1://oldest.example/team/app
    target: new.example/app
    format: oci
    compression: zstd:3
`);
    expect(rule).to.deep.equal({
      host: 'docker.io',
      repositories: ['library/alpine'],
      targets: [
        { host: 'east:5000', repository: 'base/alpine', prefix: '', keep: 'path' },
        { host: 'west.example', prefix: '', keep: 'path' },
      ],
      tags: {
        ...{ exact: undefined, allow: ['3.*'], deny: ['3.1', '*-rc*'], allowRegex: [], denyRegex: [/^edge/] },
        ...{ semver: ['>=3.10', '^2'], newest: 5, newestBy: 'created', sinceMs: 30 * 86_400_000 },
      },
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64', variant: 'v8' },
      ],
      referrers: true,
      deleteExtra: { maxDelete: 10, protect: ['keep-*'] },
      hook: ['/usr/bin/notify', '{target}'],
    });
    expect(registry).to.deep.include({ host: 'old.example', repositories: ['a/b', 'c'] });
    expect(registry?.tags).to.deep.equal({ ...ALL_TAGS, exact: ['latest', '1'] });
    expect(registry?.deleteExtra).to.deep.equal({ maxDelete: 3, protect: [] });
    expect(oldest).to.deep.include({ host: 'oldest.example', isV1: true, repositories: ['team/app'] });
    expect(oldest?.conversion).to.deep.equal({ format: 'oci', compression: { kind: 'zstd', level: 3 } });
  });

  it("reads skopeo's form, with a target beside it", async () => {
    const text = `
registry.example.com:
  images:
    busybox: []
    team/redis: ["1.0", 2.0]
  images-by-tag-regex:
    nginx: ^1\\.13
  images-by-semver:
    alpine: ">= 3.12.0"
  tls-verify: true
docker.io:
  images:
    alpine: [latest]
`;
    const rules = await read(text, ['local:5000/mirror']);
    expect(rules.map(({ host, repositories }) => `${host} ${repositories?.join()}`)).to.deep.equal([
      'registry.example.com busybox',
      'registry.example.com team/redis',
      'registry.example.com nginx',
      'registry.example.com alpine',
      'docker.io library/alpine',
    ]);
    expect(rules.map(({ tags }) => tags.exact)).to.deep.equal([
      undefined,
      ['1.0', '2.0'],
      undefined,
      undefined,
      ['latest'],
    ]);
    expect(rules[2]?.tags.allowRegex).to.deep.equal([/^1\.13/]);
    expect(rules[3]?.tags.semver).to.deep.equal(['>= 3.12.0']);
    expect(rules[1]?.targets).to.deep.equal([{ host: 'local:5000', prefix: 'mirror', keep: 'base' }]);
    expect((await read(text, ['local:5000/mirror'], true))[1]?.targets[0]?.keep).to.equal('host');
  });

  const rule = 'sync:\n  - source: a.example/b\n    target: c.example/d\n';
  for (const { name, text, want, targets = [] } of [
    { name: 'what is no YAML', text: 'sync:\n  - a: [1\n', want: /^m\.yaml line \d: / },
    { name: 'an unknown key', text: `${rule}    tgas: []\n`, want: 'm.yaml line 4: sync[0].tgas is not known here' },
    {
      name: 'an unknown key of tags',
      text: `${rule}    tags:\n      glob: x\n`,
      want: 'm.yaml line 5: sync[0].tags.glob is not known here',
    },
    { name: 'no source', text: 'sync:\n  - target: x\n', want: 'm.yaml line 2: sync[0] has no source' },
    { name: 'no target', text: 'sync:\n\n  - source: x\n', want: 'm.yaml line 3: sync[0] has no target' },
    {
      name: 'a bad range',
      text: `${rule}    tags: {semver: abc}\n`,
      want: 'm.yaml line 4: sync[0].tags.semver: "abc"',
    },
    {
      name: 'a bad expression',
      text: `${rule}    tags:\n      allow-regex:\n        - ok\n        - "("\n`,
      want: 'm.yaml line 7: sync[0].tags.allow-regex[1]: "(" is not a regular expression',
    },
    { name: 'a bad age', text: `${rule}    tags: {since: soon}\n`, want: 'line 4: sync[0].tags.since: "soon"' },
    { name: 'a bad flag', text: `${rule}    referrers: often\n`, want: 'line 4: sync[0].referrers is neither true' },
    { name: 'a bad number', text: `${rule}    max-delete: -1\n`, want: 'line 4: sync[0].max-delete is not a whole' },
    {
      name: 'a bad platform',
      text: `${rule}    platforms: [a/b/c/d]\n`,
      want: 'line 4: sync[0].platforms[0]: "a/b/c/d"',
    },
    {
      name: 'a form that cannot be',
      text: `${rule}    format: v2s2\n    compression: zstd\n`,
      want: 'line 4: sync[0].format: Docker manifests (v2s2) cannot hold',
    },
    { name: 'an unknown compression', text: `${rule}    compression: xz\n`, want: 'line 4: sync[0].compression: ' },
    {
      name: 'signatures of what is converted',
      text: `${rule}    referrers: true\n    format: oci\n`,
      want: 'line 5: sync[0].format: referrers refer to digests',
    },
    { name: 'a bad name', text: 'sync:\n  - source: A/B\n    target: c\n', want: 'line 2: sync[0].source: "A/B"' },
    { name: 'a list at the top', text: '- a\n', want: 'm.yaml line 1: the file is not a mapping' },
    { name: "skopeo's form without a target", text: 'a.example:\n  images: {}\n', want: 'has no sync: list' },
    {
      name: "an unknown key of skopeo's form",
      text: 'a.example:\n  imagse: {}\n',
      targets: ['b.example'],
      want: 'm.yaml line 2: a.example.imagse is not known here',
    },
    {
      name: 'half a login',
      text: 'a.example:\n  credentials: {password: secret}\n',
      targets: ['b.example'],
      want: 'm.yaml line 2: a.example.credentials has no username or no password',
    },
  ] as const)
    it(`tells the line of ${name}`, async () => {
      const { message } = await rejection(read(text, [...targets]));
      if (typeof want === 'string') expect(message).to.include(want);
      else expect(message).to.match(want);
      expect(message).not.to.include('secret');
    });
});
