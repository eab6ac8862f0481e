import { expect } from 'chai';
import { parseSyncSource, parseSyncTarget, placeOf, ALL_TAGS, type TagRules } from '../../../lib/operations/index.js';
import { parseAge } from '../../../lib/util/index.js';
import { selectByName } from '../../../lib/operations/sync-rules/index.js';

const TAGS = ['1.0', '1.2.3', 'v1.10.0', '2', '2.1-rc1', '2.1', 'latest', '1.2.3-slim', 'nightly-7', '3.x+bad'];

describe('operations/sync: which tags', () => {
  const cases: readonly { name: string; rules: Partial<TagRules>; want: readonly string[] }[] = [
    { name: 'all', rules: {}, want: TAGS },
    { name: 'globs', rules: { allow: ['1.*', 'late?t'] }, want: ['1.0', '1.2.3', 'latest', '1.2.3-slim'] },
    { name: 'deny wins over allow', rules: { allow: ['1.*'], deny: ['*-slim'] }, want: ['1.0', '1.2.3'] },
    { name: 'dots of globs are dots', rules: { allow: ['1.?'] }, want: ['1.0'] },
    { name: 'regex, anywhere', rules: { allowRegex: [/ight/, /^2/] }, want: ['2', '2.1-rc1', '2.1', 'nightly-7'] },
    { name: 'regex to deny', rules: { denyRegex: [/[.-]/] }, want: ['2', 'latest'] },
    { name: 'a range; parts missing, v in front', rules: { semver: ['^1.2'] }, want: ['1.2.3', 'v1.10.0'] },
    { name: 'ranges, one of which must hold', rules: { semver: ['1.0', '>=2'] }, want: ['1.0', '2', '2.1'] },
    { name: 'pre-releases only when named', rules: { semver: ['>=2.1.0-0'] }, want: ['2.1-rc1', '2.1'] },
    { name: 'the newest by version', rules: { newest: 3 }, want: ['2.1', '2.1-rc1', '2'] },
    { name: 'the newest of a range', rules: { newest: 1, semver: ['1.x'] }, want: ['v1.10.0'] },
  ];
  for (const { name, rules, want } of cases)
    it(name, async () => {
      expect(await selectByName(TAGS, { ...ALL_TAGS, ...rules })).to.deep.equal(want);
    });

  it('spans of time', () => {
    expect([parseAge('90s'), parseAge('2h'), parseAge('1w')]).to.deep.equal([90_000, 7_200_000, 604_800_000]);
    for (const bad of ['', '0d', '5', 'd', '-1h', '1y']) expect(() => parseAge(bad)).to.throw('not a duration');
  });
});

describe('operations/sync: names of sources and targets', () => {
  for (const [input, want] of [
    ['alpine', { host: 'docker.io', repository: 'library/alpine', tag: undefined }],
    ['docker://h.example/a/b:1', { host: 'h.example', repository: 'a/b', tag: '1' }],
    ['localhost:5000', { host: 'localhost:5000', repository: undefined, tag: undefined }],
    ['127.0.0.1:5000', { host: '127.0.0.1:5000', repository: undefined, tag: undefined }],
    ['myhost:5000/', { host: 'myhost:5000', repository: undefined, tag: undefined }],
    ['registry.example', { host: 'registry.example', repository: undefined, tag: undefined }],
    ['docker-v1://h.example/', { host: 'h.example', repository: undefined, tag: undefined, isV1: true }],
    ['docker-v1://h:1/a/b:1', { host: 'h:1', repository: 'a/b', tag: '1', isV1: true }],
  ] as const)
    it(`${input} is a source`, () => {
      expect(parseSyncSource(input)).to.deep.equal({ isV1: false, ...want });
    });

  for (const { target, kind, want } of [
    { target: 'h:1/x/y', kind: 'repository', want: 'h:1 x/y' },
    { target: 'h.e:1', kind: 'repository', want: 'h.e:1 team/app' },
    { target: 'h:1/mirror', kind: 'registry', want: 'h:1 mirror/team/app' },
    { target: 'h:1/mirror/', kind: 'list', want: 'h:1 mirror/app' },
  ] as const)
    it(`${target} for a ${kind} is ${want}`, () => {
      const { host, repository } = placeOf(parseSyncTarget(target, kind), { host: 's', repository: 'team/app' });
      expect(`${host} ${repository}`).to.equal(want);
    });

  it('a target is no image', () => {
    expect(() => parseSyncTarget('h:1/x:tag', 'repository')).to.throw('names one image');
    expect(() => parseSyncTarget('docker-v1://h:1/x', 'repository')).to.throw('nothing is mirrored to protocol v1');
  });
});
