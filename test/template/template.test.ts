import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { parseTemplate } from '../../lib/template/index.js';
import { run } from '../helpers/run.js';

const DATA = {
  ID: 'sha256:abc',
  Size: 1234,
  Names: ['a:1', 'b:2'],
  Labels: new Map([
    ['z', 'last'],
    ['a', 'first'],
  ]),
  Config: { Env: ['PATH=/bin', 'A=1'], Cmd: [] as string[], User: '' },
  Running: true,
  Label: (name: unknown) => (name === 'a' ? 'first' : ''),
};

const render = (template: string): string => parseTemplate(template).execute(DATA);

/** A template and what it gives for DATA. */
const RENDERED: readonly (readonly [string, string])[] = [
  ['plain', 'plain'],
  ['{{.ID}}', 'sha256:abc'],
  ['{{ .Id }} {{.id}}', 'sha256:abc sha256:abc'],
  ['{{$.ID}} {{$}}', 'sha256:abc {sha256:abc 1234 [a:1 b:2] map[a:first z:last] {[PATH=/bin A=1] [] } true}'],
  ['{{.Names}} {{.Labels}} {{.Config}}', '[a:1 b:2] map[a:first z:last] {[PATH=/bin A=1] [] }'],
  ['{{json .Labels}} {{json .Config}}', '{"a":"first","z":"last"} {"Env":["PATH=/bin","A=1"],"Cmd":[],"User":""}'],
  ['{{.Config.Env | json}}', '["PATH=/bin","A=1"]'],
  ['{{(index .Names 1)}} {{index .Labels "z"}} {{index .Labels "no"}}|', 'b:2 last |'],
  ['{{.Labels.a}} {{.Labels.none}}', 'first <no value>'],
  ['{{.Label "a"}}{{.Label "b"}}', 'first'],
  ['{{range .Names}}<{{.}}>{{end}}', '<a:1><b:2>'],
  ['{{range $i, $e := .Names}}{{if $i}}, {{end}}{{$i}}={{$e}}{{end}}', '0=a:1, 1=b:2'],
  ['{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}', 'a=first;z=last;'],
  ['{{range $e := .Names}}{{$.Size}}{{$e}} {{end}}', '1234a:1 1234b:2 '],
  ['{{range .Config.Cmd}}x{{else}}none{{end}}', 'none'],
  ['{{range .Names}}{{.}}{{break}}{{end}}{{range .Names}}{{continue}}{{.}}{{end}}', 'a:1'],
  ['{{if .Config.User}}user{{else if .Running}}running{{else}}no{{end}}', 'running'],
  ['{{with .Config}}{{.Env}}{{end}}{{with .Config.User}}x{{else}}root{{end}}', '[PATH=/bin A=1]root'],
  ['{{$x := 1}}{{if .Running}}{{$x = 2}}{{end}}{{$x}}', '2'],
  ['{{len .Names}} {{len .ID}} {{len .Labels}}', '2 10 2'],
  ['{{join .Names ", "}} {{upper .ID}} {{title "ab cd"}} {{lower "AB"}}', 'a:1, b:2 SHA256:ABC Ab Cd ab'],
  ['{{split .ID ":"}} {{index (split .ID ":") 1}} {{truncate .ID 6}}', '[sha256 abc] abc sha256'],
  [
    '{{printf "%s %d %q %v %5d|%-5s|%05d" .ID .Size .ID .Names 7 "x" 42}}',
    'sha256:abc 1234 "sha256:abc" [a:1 b:2]     7|x    |00042',
  ],
  ['{{printf "%c%c %q" -1 99999999 -1}} {{printf "%.1000e" 1.5 | len}}', "\u{FFFD}\u{FFFD} '\u{FFFD}' 106"],
  ['{{printf "%.3s %x %t %6.2f %%" .ID 255 true 3.14159}}', 'sha ff true   3.14 %'],
  ['{{println .ID "x"}}', 'sha256:abc x\n'],
  ['a {{- "b" -}} c', 'abc'],
  ['{{/* nothing */}}x{{- /* nothing */ -}} y', 'xy'],
  ['{{eq .Size 1234}} {{eq .ID "x" "sha256:abc"}} {{ne 1 2}} {{lt 1 2}} {{ge "b" "a"}}', 'true true true true true'],
  [
    '{{and .Running .Size}} {{or .Config.User "root"}} {{not .Running}} {{and 0 (index .Names 9)}}',
    '1234 root false 0',
  ],
  ['{{.ID}}\\t{{.Size}}\\n{{`\\t`}}{{"\\t"}}', 'sha256:abc\t1234\n\\t\t'],
  ['{{slice .ID 7 10}} {{slice .Names 1}}', 'abc [b:2]'],
  ['{{"quoted \\"x\\" é\\u00e9"}} {{\'a\'}}', 'quoted "x" éé 97'],
];

/** A template that is refused, and a part of the message. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['{{.Nmaes}}', 'column 3: there is no field .Nmaes'],
  ['x\n{{.ID.Foo}}', 'line 2, column 6: there is no field .Foo in text'],
  ['{{.constructor}}', 'no field .constructor'],
  ['{{.__proto__}}', 'no field .__proto__'],
  ['{{foo .ID}}', 'there is no function "foo"'],
  ['{{.ID', 'this {{ has no }}'],
  ['{{if .ID}}x', 'this if has no end'],
  ['{{end}}', 'this end belongs to no'],
  ['{{if .ID}}{{else}}{{else}}{{end}}', 'a second else'],
  ['{{template "x"}}', 'template is not supported'],
  ['{{$x}}', 'there is no variable $x'],
  ['{{if .ID}}{{$x := 1}}{{end}}{{$x}}', 'there is no variable $x'],
  ['{{}}', 'a value is missing'],
  ['{{.ID | }}', 'a value is missing'],
  ['{{(.ID}}', 'this ( has no )'],
  ['{{.ID "x"}}', 'takes no values'],
  ['{{.Label}}', 'takes 1 value, not 0'],
  ['{{len .Label}}', '.Label takes a value'],
  ['{{index .Names 2}}', 'there is no element 2'],
  ['{{join .ID ","}}', 'a list is wanted'],
  ['{{join .Names}}', 'join takes 2 values, not 1'],
  ['{{range .ID}}{{end}}', 'range goes over lists and maps'],
  ['{{lt 1 "a"}}', 'cannot be compared'],
  ['{{"abc}}', 'does not end'],
  ['{{.ID ; }}', '";" has no meaning here'],
  ['{{break}}', 'break is outside of a range'],
];

describe('templates', () => {
  for (const [template, want] of RENDERED)
    it(`renders ${JSON.stringify(template)}`, () => expect(render(template)).to.equal(want));

  for (const [template, want] of REFUSED)
    it(`refuses ${JSON.stringify(template)}`, () => expect(() => render(template)).to.throw(UsageError, want));

  it('names the field that was meant', () => {
    try {
      render('{{.Nmaes}}');
      expect.fail('it was not refused');
    } catch (error) {
      expect((error as UsageError).hint).to.equal('did you mean .Names?');
    }
  });

  it('knows its fields, and whether it is for a list', () => {
    const template = parseTemplate('{{range .}}{{if .A}}{{index (.B | json) 0}}{{end}}{{end}}');
    expect([...template.fields]).to.deep.equal(['.', 'A', 'B']);
    expect(template.takesList).to.equal(true);
    expect(parseTemplate('{{range .Names}}{{end}}').takesList).to.equal(false);
  });

  describe('as podman, which has the language of Go itself', () => {
    // What needs no data: podman evaluates it with Go's own package.
    const templates = [
      '{{printf "%5d|%-5d|%05d|%+d|%x|%X|%o|%b" 42 42 42 42 255 255 8 5}}',
      '{{printf "%s|%10s|%-10s|%.2s|%q|%v" "abc" "abc" "abc" "abc" "a\\"b" "x"}}',
      '{{printf "%t %v %v %.2f %8.3f %e" true false 1.5 3.14159 2.5 12345.678}}',
      '{{printf "%d" "x"}} {{printf "%d"}} {{printf "x" 1}}',
      '{{printf "%*d|%*d|%-*d|%0*d|%0*d|%*%" 5 42 -5 42 -5 42 -5 42 5 42 5}}',
      '{{printf "%*d|%*s|%*d|%*d" "x" 42 1.5 "a" true 1 2000000 1}} {{printf "%*d"}} {{printf "%*d" 5}}',
      '{{printf "%.*f|%.*f|%.*f|%*.*f|%*.*f" 2 3.14159 -2 3.14159 "x" 2.5 8 2 3.14159 -8 -2 3.14159}}',
      '{{printf "%.*s|%.*s|%.2v" 2 "abc" -1 "abc" "abc"}} {{printf "%.*s" "a"}} {{printf "%.*d" 2000000 3}}',
      '{{printf "%.3d|%8.3d|%08.3d|%-8.3d|%.d|%+.3d|%.3x|%*.*d" -7 7 7 7 0 7 10 6 3 -7}}',
      '{{printf "%.f|%.1f|%.1f|%06.1f|%.2f" 2.5 0.25 0.75 -2.25 2.675}}',
      '{{printf "%"}} {{printf "%5"}} {{printf "%!" 1}} {{printf "%s" nil}}',
      '{{print 1 2 "a" "b" 3 4 true false}}|{{println "a" 1}}',
      '{{len "héllo"}} {{index "abc" 1}} {{slice "abcdef" 1 3}}',
      '{{eq 1 1}} {{eq "a" "b" "a"}} {{ne 1 2}} {{lt "a" "b"}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}',
      '{{and 1 0 2}} {{or 0 "" "x" "y"}} {{not 0}} {{and 1 2}} {{or 0 ""}}|',
      '{{if and true (not false)}}yes{{else}}no{{end}} {{if ""}}a{{else if 1}}b{{else}}c{{end}}',
      '{{with "x"}}{{.}}{{end}}{{with ""}}a{{else}}b{{end}} {{$x := "v"}}{{$x}}{{$x = "w"}}{{$x}}',
      'a  {{- " b " -}}  c{{/* comment */}} {{"a\\tb"}} {{`raw`}}',
      '{{split "a,b,c" ","}} {{join (split "a,b,c" ",") "-"}} {{upper "abc"}} {{lower "ABC"}} {{title "ab cd"}}',
      '{{range $i, $e := split "x,y" ","}}{{$i}}{{$e}} {{end}}{{range split "x,y" ","}}<{{.}}>{{end}}',
      '{{json "a<b>&\\"c\\""}} {{json 12}} {{json (split "a,b" ",")}} {{truncate "abcdef" 3}}|{{pad "x" 2 3}}|',
      '{{html "<a href=\'x\'>"}} {{urlquery "a b&c"}} {{\'a\'}} {{0x1F}} {{1_000}} {{-5}}',
      '{{"a" | printf "%s-%s" "b"}} {{("abc" | len)}} {{"x" | upper | lower | printf "%q"}}',
    ];
    for (const template of templates)
      it(template, async () => {
        const want = await run('podman', ['version', '--format', template]);
        expect(`${parseTemplate(template).execute({})}\n`.replace(/\n\n$/, '\n')).to.equal(want.replace(/\n\n$/, '\n'));
      });
  });
});
