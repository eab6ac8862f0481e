import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import {
  chainIds,
  digestOf,
  formatPlatform,
  hostPlatform,
  parsePlatform,
  platformScore,
  type DiffId,
} from '../../lib/spec/index.js';

describe('platform', () => {
  const cases = [
    { input: 'linux/amd64', want: 'linux/amd64' },
    { input: 'x86_64', want: 'linux/amd64' },
    { input: 'linux/aarch64', want: 'linux/arm64/v8' },
    { input: 'arm/v6', want: 'linux/arm/v6' },
    { input: 'armhf', want: 'linux/arm/v7' },
    { input: 'windows/amd64', want: 'windows/amd64' },
    { input: 'linux', want: formatPlatform(hostPlatform()) },
  ];
  for (const { input, want } of cases)
    it(`reads ${input}`, () => expect(formatPlatform(parsePlatform(input))).to.equal(want));

  it('refuses nonsense', () => {
    for (const input of ['', 'a/b/c/d', 'linux/', 'a b'])
      expect(() => parsePlatform(input), input).to.throw(UsageError);
  });

  it('takes the best older variant, never a newer one', () => {
    const score = (wanted: string, candidate: string): number =>
      platformScore(parsePlatform(wanted), parsePlatform(candidate));
    expect(score('linux/arm/v7', 'linux/arm/v7')).to.be.greaterThan(score('linux/arm/v7', 'linux/arm/v6'));
    expect(score('linux/arm/v7', 'linux/arm/v6')).to.be.greaterThan(score('linux/arm/v7', 'linux/arm/v5'));
    expect(score('linux/arm/v6', 'linux/arm/v7')).to.equal(0);
    expect(score('linux/amd64', 'linux/arm64')).to.equal(0);
    expect(platformScore(hostPlatform('arm64'), { os: 'linux', architecture: 'arm64' })).to.be.greaterThan(0);
  });
});

describe('chainIds', () => {
  it('follows image-spec config.md, "Layer ChainID"', () => {
    const [a, b] = [digestOf('a') as DiffId, digestOf('b') as DiffId];
    expect(chainIds([a, b])).to.deep.equal([a, digestOf(`${a} ${b}`)]);
    expect(chainIds([])).to.deep.equal([]);
  });
});
