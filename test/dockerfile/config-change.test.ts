import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { applyConfigChanges } from '../../lib/dockerfile/index.js';
import type { ExecutionConfig } from '../../lib/spec/index.js';

const base: ExecutionConfig = { Env: ['PATH=/bin', 'A=0'], WorkingDir: '/srv', Labels: { a: '1' } };

const envOf = (...entries: string[]): Partial<ExecutionConfig> => ({ Env: ['PATH=/bin', ...entries] });

describe('applyConfigChanges', () => {
  const good: readonly { input: string; want: Partial<ExecutionConfig> }[] = [
    { input: 'CMD ["a", "b c"]', want: { Cmd: ['a', 'b c'] } },
    { input: 'cmd echo $X', want: { Cmd: ['/bin/sh', '-c', 'echo $X'] } },
    { input: 'ENTRYPOINT ["x"]', want: { Entrypoint: ['x'] } },
    { input: 'ENV A=1 B="2 3" C=4\\ 5', want: { Env: ['PATH=/bin', 'A=1', 'B=2 3', 'C=4 5'] } },
    { input: 'ENV B several words', want: { Env: ['PATH=/bin', 'A=0', 'B=several words'] } },
    { input: `LABEL b='x=y' c=`, want: { Labels: { a: '1', b: 'x=y', c: '' } } },
    { input: 'EXPOSE 80 53/UDP', want: { ExposedPorts: { '80/tcp': {}, '53/udp': {} } } },
    { input: 'VOLUME ["/a b"]', want: { Volumes: { '/a b': {} } } },
    { input: 'VOLUME /a /b', want: { Volumes: { '/a': {}, '/b': {} } } },
    { input: 'USER 1:2', want: { User: '1:2' } },
    { input: 'WORKDIR sub', want: { WorkingDir: '/srv/sub' } },
    { input: 'WORKDIR /abs', want: { WorkingDir: '/abs' } },
    { input: 'ENV PATH=$PATH:/x', want: { Env: ['PATH=/bin:/x', 'A=0'] } },
    { input: 'ENV PATH /y:${PATH}', want: { Env: ['PATH=/y:/bin', 'A=0'] } },
    { input: `ENV A="$A 1" B='$A' C=\\$A D=$NONE. E=a$`, want: envOf('A=0 1', 'B=$A', 'C=$A', 'D=.', 'E=a$') },
    { input: 'ENV A=1 B=$A', want: envOf('A=1', 'B=0') },
    {
      input: 'ENV B=${NONE:-none} C=${A:+set} D=${NONE-$A} E=${NONE+x}',
      want: envOf('A=0', 'B=none', 'C=set', 'D=0', 'E='),
    },
    { input: 'LABEL path="$PATH"', want: { Labels: { a: '1', path: '/bin' } } },
    { input: 'USER $A', want: { User: '0' } },
    { input: 'WORKDIR $PATH/sub', want: { WorkingDir: '/bin/sub' } },
    { input: 'VOLUME ["$PATH"]', want: { Volumes: { '/bin': {} } } },
    { input: 'EXPOSE ${PORT:-80}', want: { ExposedPorts: { '80/tcp': {} } } },
    { input: 'CMD ["echo", "$A"]', want: { Cmd: ['echo', '$A'] } },
    { input: 'STOPSIGNAL SIGINT', want: { StopSignal: 'SIGINT' } },
    { input: 'SHELL ["/bin/bash", "-c"]', want: { Shell: ['/bin/bash', '-c'] } },
    { input: 'ONBUILD RUN make', want: { OnBuild: ['RUN make'] } },
    { input: 'EXPOSE 8000-8002', want: { ExposedPorts: { '8000/tcp': {}, '8001/tcp': {}, '8002/tcp': {} } } },
    { input: 'HEALTHCHECK NONE', want: { Healthcheck: { Test: ['NONE'] } } },
    {
      input: 'HEALTHCHECK --interval=30s --retries=3 CMD curl -f http://localhost/',
      want: {
        Healthcheck: { Test: ['CMD-SHELL', 'curl -f http://localhost/'], Interval: 30_000_000_000, Retries: 3 },
      },
    },
    { input: 'ENV A-', want: envOf() },
    { input: 'ENV PATH- A-', want: { Env: [] } },
    { input: 'LABEL a-', want: { Labels: {} } },
    { input: 'WORKDIR ../x/', want: { WorkingDir: '/x' } },
  ];
  for (const { input, want } of good)
    it(input, () => expect(applyConfigChanges(base, [input])).to.deep.equal({ ...base, ...want }));

  for (const input of [
    '',
    'CMD',
    'RUN x',
    'CMD [1]',
    'CMD ["a"',
    'ENV =x',
    'ENV A',
    'ENV A="x',
    'EXPOSE 0',
    'EXPOSE x',
    'ENV A=${A',
    'ENV A=${NONE:?x}',
    'EXPOSE 9-3',
    'STOPSIGNAL SIGNONE',
    'SHELL /bin/sh',
    'ONBUILD FROM x',
    'HEALTHCHECK --interval=1us CMD x',
    'CMD a\nUSER b',
    'FROM x',
  ])
    it(`refuses ${JSON.stringify(input)}`, () => expect(() => applyConfigChanges(base, [input])).to.throw(UsageError));

  const several: readonly { name: string; config?: ExecutionConfig; changes: string[]; want: ExecutionConfig }[] = [
    { name: 'ENTRYPOINT removes the CMD of before', changes: ['ENTRYPOINT ["x"]'], want: { Entrypoint: ['x'] } },
    {
      name: 'ENTRYPOINT keeps a CMD of the same call, given before',
      changes: ['CMD ["new"]', 'ENTRYPOINT ["x"]'],
      want: { Cmd: ['new'], Entrypoint: ['x'] },
    },
    {
      name: 'ENTRYPOINT keeps a CMD of the same call, given behind',
      changes: ['ENTRYPOINT ["x"]', 'CMD ["new"]'],
      want: { Cmd: ['new'], Entrypoint: ['x'] },
    },
    {
      name: 'SHELL counts for what follows',
      changes: ['SHELL ["/bin/bash", "-ec"]', 'CMD run $X'],
      want: { Shell: ['/bin/bash', '-ec'], Cmd: ['/bin/bash', '-ec', 'run $X'] },
    },
    {
      name: 'each change sees those before',
      changes: ['ENV A=1', 'ENV B=$A', 'WORKDIR /w', 'WORKDIR x'],
      want: { Cmd: ['old'], Env: ['A=1', 'B=1'], WorkingDir: '/w/x' },
    },
  ];
  for (const { name, config = { Cmd: ['old'] }, changes, want } of several)
    it(name, () => expect(applyConfigChanges(config, changes)).to.deep.equal(want));

  it('suggests the instruction that was meant', () => {
    expect(() => applyConfigChanges({}, ['ENTRYPIONT x']))
      .to.throw(UsageError)
      .with.property('hint', 'did you mean ENTRYPOINT?');
  });
});
