import { expect } from 'chai';
import { UsageError } from '../../lib/errors.js';
import { applyConfigChange, type ExecutionConfig } from '../../lib/spec/index.js';

const base: ExecutionConfig = { Env: ['PATH=/bin', 'A=0'], WorkingDir: '/srv', Labels: { a: '1' } };

describe('applyConfigChange', () => {
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
    { input: 'STOPSIGNAL SIGINT', want: { StopSignal: 'SIGINT' } },
  ];
  for (const { input, want } of good)
    it(input, () => expect(applyConfigChange(base, input)).to.deep.equal({ ...base, ...want }));

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
  ])
    it(`refuses ${JSON.stringify(input)}`, () => expect(() => applyConfigChange(base, input)).to.throw(UsageError));
});
