import { expect } from 'chai';
import { expand, SyntaxProblem } from '../../lib/dockerfile/index.js';

const environment = new Map([
  ['PWD', '/home'],
  ['SHELL', 'bash'],
  ['NULL', ''],
  ['v', 'foobarbar'],
  ['space', 'abc  def'],
]);

describe('expand', () => {
  const good: readonly [vector: string, word: string, want: string][] = [
    ['V1', `he'll'o`, 'hello'],
    ['V2', `he\\'llo`, `he'llo`],
    ['V4', String.raw`"abc\tdef"`, String.raw`abc\tdef`],
    ['V5', String.raw`abc\tdef`, 'abctdef'],
    ['V6', String.raw`"abc\\tdef"`, String.raw`abc\tdef`],
    ['V7', 'hello\\', 'hello'],
    ['V8', String.raw`'hello\there'`, String.raw`hello\there`],
    ['V9', 'he$1x', 'hex'],
    ['V10', 'he$.x', 'he$.x'],
    ['V11', String.raw`he\$PWD`, 'he$PWD'],
    ['V12', String.raw`he\\$PWD`, String.raw`he\/home`],
    ['V14', '\\${}', '${}'],
    ['V15', '${XXX:-000}', '000'],
    ['V16', '${XXX:-${YYY:-yyy}}', 'yyy'],
    ['V18 set but empty', '${NULL?}', ''],
    ['V19', '${PWD:+${SHELL}}', 'bash'],
    ['V20', '${XXX:-\\$PWD:}', '$PWD:'],
    ['V21', '${aaa:-bbb}}', 'bbb}'],
    ['V22', '${aaa:-bbb {foo}', 'bbb {foo'],
    ['V23 number', '$999aaa', 'aaa'],
    ['V23 special', '$@@@', '@@'],
    ['V24', `'$PWD'`, '$PWD'],
    ['V25 shortest', '${v#f*o}', 'obarbar'],
    ['V25 longest', '${v##f*o}', 'barbar'],
    ['V26 shortest', '${v%bar}', 'foobar'],
    ['V26 longest', '${v%%bar*}', 'foo'],
    ['V27 first', '${v/bar/X}', 'fooXbar'],
    ['V27 every', '${v//bar/X}', 'fooXX'],
    ['plain variable', '$PWD/x', '/home/x'],
    ['without colon, set', '${NULL-x}', ''],
    ['with colon, empty', '${NULL:-x}', 'x'],
    ['plus without colon', '${NULL+x}', 'x'],
    ['plus with colon', '${NULL:+x}', ''],
    ['no match', '${v#x*}', 'foobarbar'],
    ['question mark', '${v#?}', 'oobarbar'],
    ['suffix with ?', '${v%?a?}', 'foobar'],
    ['escaped star', String.raw`${'${v#\\*}'}`, 'foobarbar'],
    ['replacement, longest match', '${v/o*b/-}', 'f-ar'],
    ['deletion', '${v//o/}', 'fbarbar'],
    ['a pattern with a slash', String.raw`${'${PWD/\\/h/H}'}`, 'Home'],
    ['a variable as pattern', '${v#${aaa:-foo}}', 'barbar'],
    ['variable in double quotes', `"$PWD '$SHELL'"`, `/home 'bash'`],
    ['dollar at the end', 'a$', 'a$'],
    ['letters beyond ASCII', '$é|', '|'],
  ];
  for (const [vector, word, want] of good)
    it(`${vector}: ${word}`, () => expect(expand(word, environment).text).to.equal(want));

  const bad: readonly [vector: string, word: string, message: RegExp][] = [
    ['V3', `he'llo`, /single quote/],
    ['V13', '${}', /bad substitution/],
    ['V13', 'he${.}', /not supported/],
    ['V13', '${:-x}', /bad substitution/],
    ['V17', '${XXX:YYY}', /:Y is not supported/],
    ['V17', '${PWD:=x}', /:= is not supported/],
    ['V18', '${XXX?}', /^XXX: is not allowed to be unset/],
    ['V18', '${NULL:?}', /^NULL: is not allowed to be empty/],
    ['V18 with a message', '${XXX:?"custom"}', /^XXX: custom/],
    ['V28', '${v:#f}', /:# is not supported/],
    ['V32', '${{aaa}', /bad substitution/],
    ['open brace', '${PWD', /} is missing/],
    ['open word', '${PWD:-x', /} is missing/],
    ['open quote', '"x', /double quote/],
    ['open pattern', '${v/x', /is missing/],
    ['bad escape in a pattern', String.raw`${'${v#\\a}'}`, /invalid escape/],
    ['nesting', `${'${a:-'.repeat(50_000)}`, /nested too deeply/],
  ];
  for (const [vector, word, message] of bad)
    it(`${vector}: refuses ${word.slice(0, 40)}`, () =>
      expect(() => expand(word, environment)).to.throw(SyntaxProblem, message));

  const words: readonly [vector: string, word: string, want: string[]][] = [
    ['V29', 'hello${space}bye', ['helloabc', 'defbye']],
    ['V30', 'hello"${space}"bye', ['helloabc  defbye']],
    ['V31', 'hello\\ there', ['hello there']],
    ['blanks around', '  a  b ', ['a', 'b']],
    ['heredoc with a blank', 'cat << EOF x', ['cat', '<< EOF', 'x']],
  ];
  for (const [vector, word, want] of words)
    it(`${vector}: words of ${word}`, () => expect(expand(word, environment).words).to.deep.equal(want));

  it('escapes with ` when asked', () => {
    expect(expand('a`$PWD\\b', environment, { escape: '`' }).text).to.equal('a$PWD\\b');
  });

  it('names the variables that are set and unset', () => {
    const { used, unset } = expand('$PWD ${XXX:-$SHELL} $v', environment);
    expect([...used].sort()).to.deep.equal(['PWD', 'SHELL', 'v']);
    expect([...unset]).to.deep.equal(['XXX']);
  });

  it('takes time in proportion to the text, whatever the pattern', () => {
    const long = new Map([['v', 'a'.repeat(30_000)]]);
    const started = performance.now();
    expect(expand(`\${v##${'*a'.repeat(20)}b}`, long).text).to.have.length(30_000);
    expect(expand(`\${v//${'*a'.repeat(20)}b/x}`, long).text).to.have.length(30_000);
    expect(performance.now() - started).to.be.lessThan(5_000);
  });
});
