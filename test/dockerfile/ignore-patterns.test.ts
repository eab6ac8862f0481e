import { expect } from 'chai';
import { DockerfileError } from '../../lib/errors.js';
import { IgnorePatterns, isGlob, matchGlob, SyntaxProblem } from '../../lib/dockerfile/index.js';
import { randomSource } from '../helpers/random-source.js';

const parse = (text: string): IgnorePatterns => IgnorePatterns.parse(text, { file: '.dockerignore' });

describe('IgnorePatterns', () => {
  const cases: readonly [vector: string, patterns: string[], ignored: string[], kept: string[]][] = [
    ['I1', ['ba*', '!bay'], ['bar', 'bar/x'], ['bay', 'd/bar']],
    ['I2', ['**/*.md', '!README.md'], ['x/README.md', 'a.md', 'a/b/c.md'], ['README.md', 'a.mdx']],
    ['I3', ['*', '!a/b'], ['a/x', 'c'], ['a/b', 'a/b/c']],
    ['I4', ['/abs', 'dir/'], ['abs', 'dir', 'dir/f'], ['x/abs']],
    ['I5', ['foo/**'], ['foo/a', 'foo/a/b'], ['foo', 'x/foo/a']],
    ['I6', ['**/foo'], ['foo', 'a/foo', 'a/b/foo/c'], ['afoo', 'a/afoo']],
    ['I7', ['a/**/z'], ['a/z', 'a/b/c/z'], ['az', 'a/bz']],
    ['I8', ['a', '!a/b', 'a/b/c'], ['a/b/c', 'a/x'], ['a/b/d', 'a/b']],
    ['I9 CRLF', ['a\r', 'b\r'], ['a', 'b'], ['c']],
    ['I10', [' #x', '#y'], ['#x'], ['#y', 'y']],
    ['I11', ['Foo'], ['Foo'], ['foo']],
    ['? and classes', ['a?c', 'x[0-9]', 'y[^a]'], ['abc', 'x5', 'yb'], ['a/c', 'xx', 'ya']],
    ['escapes', ['a\\*b', 'c\\?'], ['a*b', 'c?'], ['axb', 'cx']],
    ['**suffix', ['**.log'], ['x.log', 'a/x.log'], ['x.logs']],
    ['everything', ['**'], ['a', 'a/b'], []],
    ['all but', ['**', '!keep/**'], ['a', 'keep'], ['keep/a', 'keep/a/b']],
    ['cleaned', ['./a//b/../c/', '  d  '], ['a/c', 'd'], ['a/b']],
    ['regular expressions mean nothing', ['a.b', 'c+', '(d)', '$e'], ['a.b', 'c+', '(d)', '$e'], ['axb', 'cc', 'd']],
  ];
  for (const [vector, patterns, ignored, kept] of cases)
    it(`${vector}: ${patterns.join(' ')}`, () => {
      const ignore = parse(patterns.join('\n'));
      // In both orders: what is remembered of directories must not change a verdict.
      for (const paths of [ignored, [...ignored].reverse()])
        for (const path of paths) expect(ignore.isExcluded(path), path).to.equal(true);
      for (const path of kept) expect(ignore.isExcluded(path), path).to.equal(false);
    });

  for (const [text, line] of [
    ['!', 1],
    ['a\n!\n', 2],
    ['a\n\n[', 3],
    ['x\\', 1],
  ] as const)
    it(`I9: refuses ${JSON.stringify(text)}`, () => {
      expect(() => parse(text))
        .to.throw(DockerfileError, `.dockerignore:${line}: `)
        .with.property('line', line);
    });

  const skips: readonly [patterns: string[], directory: string, canSkip: boolean][] = [
    [['node_modules'], 'node_modules', true],
    [['*', '!a/b'], 'c', true],
    [['*', '!a/b'], 'a', false],
    [['*', '!a/b'], 'a/x', true],
    [['a', '!a/b', 'a/b/c'], 'a/b/c', true],
    [['*', '!**/x'], 'c', false],
    [['*', '!a*/x'], 'ab', false],
    [['*', '!a*/x'], 'b', true],
    [['*', '!a/**/x'], 'a/b/c', false],
    [['*', '!a/**/x'], 'b', true],
  ];
  for (const [patterns, directory, canSkip] of skips)
    it(`${patterns.join(' ')}: a walk ${canSkip ? 'may skip' : 'enters'} ${directory}`, () => {
      const ignore = parse(patterns.join('\n'));
      expect(ignore.isExcluded(directory)).to.equal(true);
      expect(ignore.canSkip(directory)).to.equal(canSkip);
    });

  it('never skips a directory that holds a kept file, for random patterns', () => {
    const { seed, below } = randomSource();
    const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
    const names = ['a', 'b', 'ab', 'c'];
    const parts = ['a', 'b', '*', '**', 'a*', '?', '[ab]', 'ab'];
    for (let round = 0; round < 2_000; round += 1) {
      const patterns = Array.from({ length: 1 + below(4) }, () => {
        const pattern = Array.from({ length: 1 + below(3) }, () => pick(parts)).join('/');
        return `${below(5) < 2 ? '!' : ''}${pattern}`;
      });
      const ignore = parse(patterns.join('\n'));
      const path = Array.from({ length: 2 + below(3) }, () => pick(names));
      const isKept = !ignore.isExcluded(path.join('/'));
      for (let depth = 1; isKept && depth < path.length; depth += 1) {
        const directory = path.slice(0, depth).join('/');
        const skipped = ignore.isExcluded(directory) && ignore.canSkip(directory);
        expect(skipped, `seed ${seed}: ${patterns.join(' ')}: ${directory} of ${path.join('/')}`).to.equal(false);
      }
    }
  });

  it('answers for 100,000 paths in less than two seconds', () => {
    const ignore = parse(['**/*.md', 'node_modules', '**/dist', 'a*b*c*d*e', '!keep/**/x'].join('\n'));
    const started = performance.now();
    let count = 0;
    for (let index = 0; index < 100_000; index += 1)
      if (ignore.isExcluded(`packages/p${index % 100}/src/deep/file-${index}.ts`)) count += 1;
    expect(count).to.equal(0);
    expect(performance.now() - started).to.be.lessThan(2_000);
  });
});

describe('matchGlob', () => {
  const cases: readonly [pattern: string, name: string, want: boolean][] = [
    ['abc', 'abc', true],
    ['*', 'abc', true],
    ['*c', 'abc', true],
    ['a*', 'ab/c', false],
    ['a*/b', 'abc/b', true],
    ['a*/b', 'a/c/b', false],
    ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[^c]', 'abc', false],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'ab', false],
    ['a?b', 'a☺b', true],
    ['a???b', 'a☺b', false],
    ['[a-ζ]*', 'α', true],
    ['*[a-ζ]', 'A', false],
    ['arr[[]0].txt', 'arr[0].txt', true],
    ['**', 'a/b', false],
    ['', '', true],
    ['*', '', true],
    ['?', '', false],
  ];
  for (const [pattern, name, want] of cases)
    it(`${pattern} ${want ? 'matches' : 'does not match'} ${name}`, () =>
      expect(matchGlob(pattern, name)).to.equal(want));

  for (const pattern of ['[', '[^', '[^bc', 'a[', '[]a]', '[-]', '[x-]', '[-x]', '\\', 'a\\', '[\\'])
    it(`refuses ${pattern}`, () => expect(() => matchGlob(pattern, 'a')).to.throw(SyntaxProblem));

  it('knows patterns from paths', () => {
    expect(['a/*.go', 'a?', 'arr[[]0].txt', 'a/b', 'ä+%'].map(isGlob)).to.deep.equal([true, true, true, false, false]);
  });
});
