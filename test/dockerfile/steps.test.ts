import { expect } from 'chai';
import {
  expandInstruction,
  heredocText,
  historyText,
  parseDockerfile,
  parseMode,
  parseTrigger,
  resolveWorkdir,
  runScript,
  SyntaxProblem,
  type CopyInstruction,
  type HistoryContext,
  type RunInstruction,
  type StageInstruction,
} from '../../lib/dockerfile/index.js';

/** The one instruction of `text`. */
function one(text: string): StageInstruction {
  const [first, ...rest] = parseDockerfile(Buffer.from(`FROM scratch\n${text}`), { file: 'f' }).stages[0]!.instructions;
  expect(rest).to.deep.equal([]);
  return first!;
}

describe('heredocs', () => {
  const files: readonly [vector: string, text: string, want: Record<string, string>][] = [
    ['H1', 'COPY <<EOF <<EOF2 double/\none\nEOF\ntwo\nEOF2', { EOF: 'one\n', EOF2: 'two\n' }],
    ['H2', 'COPY <<EOF /x\n\\\n\\\\\n\\$\nEOF', { EOF: '\n\\\n$\n' }],
    ['H2 quoted', "COPY <<'EOF' /x\n\\\n\\\\\n\\$\nEOF", { EOF: '\\\n\\\\\n\\$\n' }],
    ['H3', 'COPY <<EOF /x\n"x"\nEOF', { EOF: '"x"\n' }],
    ['H4', 'COPY <<-EOF /x\n\t\ta\n  b\n\tEOF', { EOF: 'a\n  b\n' }],
    ['H5', 'COPY <<EOF /x\n${name}\nEOF', { EOF: 'world\n' }],
    ['H5 single quotes', "COPY <<'EOF' /x\n${name}\nEOF", { EOF: '${name}\n' }],
    ['H5 double quotes', 'COPY <<"EOF" /x\n${name}\nEOF', { EOF: '${name}\n' }],
    ['H5 partly quoted', 'COPY <<E"O"F /x\n${name}\nEOF', { EOF: '${name}\n' }],
    ['the terminator is a whole line', 'COPY <<EOF /x\n EOF\nEOFx\nEOF', { EOF: ' EOF\nEOFx\n' }],
    ['empty', 'ADD <<EOF /x\nEOF', { EOF: '' }],
    ['comments are text', 'COPY <<EOF /x\n# a\nEOF', { EOF: '# a\n' }],
    ['CRLF', 'COPY <<EOF /x\r\na\r\nEOF\r\n', { EOF: 'a\r\n' }],
  ];
  for (const [vector, text, want] of files)
    it(vector, () => {
      const { heredocs } = one(text) as CopyInstruction;
      const environment = new Map([['name', 'world']]);
      expect(Object.fromEntries(heredocs.map((doc) => [doc.name, heredocText(doc, environment)]))).to.deep.equal(want);
    });

  it('sources and heredocs may be mixed, and expansion is done once', () => {
    const copy = expandInstruction(one('COPY a <<EOF b /x\n$v\nEOF') as CopyInstruction, new Map([['v', '$w']]));
    expect(copy.sources).to.deep.equal(['a', 'b']);
    expect(heredocText(copy.heredocs[0]!, new Map([['w', 'no']]))).to.equal('$w\n');
  });

  const scripts: readonly [vector: string, text: string, want: object][] = [
    ['H6', 'RUN <<EOF\necho a\necho $b\nEOF', { argv: ['/bin/sh', '-c', 'echo a\necho $b\n'] }],
    [
      'H7',
      'RUN <<EOF\n#!/bin/awk -f\nBEGIN {}\nEOF',
      { argv: ['/dev/pipes/EOF'], file: { path: '/dev/pipes/EOF', text: '#!/bin/awk -f\nBEGIN {}\n' } },
    ],
    [
      'H7 with tabs',
      'RUN <<-EOF\n\t#!/bin/x\n\tEOF',
      { argv: ['/dev/pipes/EOF'], file: { path: '/dev/pipes/EOF', text: '#!/bin/x\n' } },
    ],
    [
      'H8',
      'RUN cat <<A | tr a b; cat <<B > f\na\nA\nb\nB',
      { argv: ['/bin/sh', '-c', 'cat <<A | tr a b; cat <<B > f\na\nA\nb\nB'] },
    ],
    ['H9', 'RUN cat 3<<IN1 4<<IN2\na\nIN1\nb\nIN2', { argv: ['/bin/sh', '-c', 'cat 3<<IN1 4<<IN2\na\nIN1\nb\nIN2'] }],
    ['H14', 'RUN echo "<<EOF"', { argv: ['/bin/sh', '-c', 'echo "<<EOF"'] }],
    ['exec form', 'RUN ["cat", "<<EOF"]', { argv: ['cat', '<<EOF'] }],
    ['shift is no heredoc', 'RUN echo $((1<<2))', { argv: ['/bin/sh', '-c', 'echo $((1<<2))'] }],
  ];
  for (const [vector, text, want] of scripts)
    it(vector, () => expect(runScript(one(text) as RunInstruction)).to.deep.equal(want));

  it('H6: another SHELL', () => {
    const run = one('RUN <<EOF\nBEGIN {}\nEOF') as RunInstruction;
    expect(runScript(run, ['/bin/awk'])).to.deep.equal({ argv: ['/bin/awk', 'BEGIN {}\n'] });
  });

  it('H13: ONBUILD keeps the body, and it can be parsed again', () => {
    const onbuild = one('ONBUILD COPY <<-EOF /x\n\thello $v\n\tEOF');
    expect(onbuild).to.include({ keyword: 'ONBUILD', trigger: 'COPY <<-EOF /x\n\thello $v\nEOF' });
    const trigger = parseTrigger((onbuild as { trigger: string }).trigger, { base: 'b' }) as CopyInstruction;
    expect(heredocText(trigger.heredocs[0]!, new Map([['v', '1']]))).to.equal('hello 1\n');
  });
});

describe('historyText', () => {
  const cases: readonly [text: string, want: string | undefined, context?: HistoryContext][] = [
    ['RUN make all', 'RUN /bin/sh -c make all # buildkit'],
    [
      'RUN make',
      'RUN |2 A=1 B= /bin/bash -c make # buildkit',
      {
        args: [
          ['A', '1'],
          ['B', ''],
        ],
        shell: ['/bin/bash', '-c'],
      },
    ],
    ['RUN ["a", "b c"]', 'RUN a b c # buildkit'],
    ['COPY --chown=1 --chmod=2 --parents --from=x a b /c', 'COPY --parents --chown=1 --chmod=2 a b /c # buildkit'],
    ['COPY <<EOF /x\nEOF', 'COPY <<EOF /x # buildkit'],
    ['ADD a /b', 'ADD a /b # buildkit'],
    ['ENV A=1 B="2 3"', 'ENV A=1 B=2 3'],
    ['LABEL a=b', 'LABEL a=b'],
    ['ARG A B=c', 'ARG A B=c'],
    ['CMD ["a", "b \\"c\\"\\n"]', 'CMD ["a" "b \\"c\\"\\n"]'],
    ['CMD a b', 'CMD ["/bin/sh" "-c" "a b"]'],
    ['ENTRYPOINT ["ä\\u0001\\u200b"]', 'ENTRYPOINT ["ä\\x01\\u200b"]'],
    ['EXPOSE 80 81/udp', 'EXPOSE [80/tcp 81/udp]'],
    ['VOLUME /a /b', 'VOLUME [/a /b]'],
    ['SHELL ["a", "b"]', 'SHELL [a b]'],
    [
      'HEALTHCHECK --interval=90s --timeout=1500ms --retries=2 CMD x y',
      'HEALTHCHECK {Test:[CMD-SHELL x y] Interval:1m30s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:2}',
    ],
    ['HEALTHCHECK NONE', 'HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}'],
    ['WORKDIR x', 'WORKDIR /w/x', { workdir: '/w/x' }],
    ['USER a', 'USER a'],
    ['STOPSIGNAL 9', 'STOPSIGNAL 9'],
    ['MAINTAINER me', 'MAINTAINER me'],
    ['ONBUILD RUN x', undefined],
  ];
  for (const [text, want, context] of cases)
    it(text.split('\n')[0]!, () =>
      expect(historyText(expandInstruction(one(text), new Map()), context)).to.equal(want),
    );
});

describe('parseMode', () => {
  const cases: readonly [text: string, mode: number, isDirectory: boolean, want: number][] = [
    ['0', 0o644, false, 0],
    ['777', 0o600, false, 0o777],
    ['04755', 0o600, false, 0o4755],
    ['u=rw,go=r', 0o777, false, 0o644],
    ['a+X', 0o644, false, 0o644],
    ['a+X', 0o744, false, 0o755],
    ['a+X', 0o644, true, 0o755],
    ['+x', 0o644, false, 0o755],
    ['u+x', 0o644, false, 0o744],
    ['go-rwx', 0o777, false, 0o700],
    ['g=u', 0o640, false, 0o660],
    ['u+s,o+t', 0o755, false, 0o4755],
    ['+t', 0o777, true, 0o1777],
    ['a-x,a+X', 0o755, false, 0o755],
    ['u-x+w', 0o555, false, 0o655],
    ['=r', 0o777, false, 0o444],
  ];
  for (const [text, mode, isDirectory, want] of cases)
    it(`C14: ${text} on ${isDirectory ? 'directory ' : ''}${mode.toString(8)}`, () =>
      expect(parseMode(text)(mode, isDirectory).toString(8)).to.equal(want.toString(8)));

  for (const text of ['08', '10000', '', 'u', 'z+x', 'u=rw,', '7x', '-1'])
    it(`C14: refuses ${JSON.stringify(text)}`, () => expect(() => parseMode(text)).to.throw(SyntaxProblem));
});

describe('resolveWorkdir', () => {
  for (const [base, path, want] of [
    [undefined, 'x', '/x'],
    ['', '/', '/'],
    ['/a', 'b/../c/', '/a/c'],
    ['/a', '/b', '/b'],
    ['/a', '../../..', '/'],
  ] as const)
    it(`${path} from ${base}`, () => expect(resolveWorkdir(base, path)).to.equal(want));
});
