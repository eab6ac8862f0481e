import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseDockerfile } from '../../lib/dockerfile/index.js';
import { BuildStepError } from '../../lib/errors.js';
import { buildImages } from '../../lib/operations/build/index.js';
import { runCommand } from '../../lib/operations/build/run-command.js';
import { hostPlatform } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { makeTestStore } from '../helpers/test-store.js';

type Deps = Parameters<typeof runCommand>[0];

describe('operations/build: the end of a RUN', () => {
  let locks: string[];
  let faults: { settle?: Error; lock?: string };
  beforeEach(() => {
    locks = [];
    faults = {};
  });

  const deps = (status: number): Deps =>
    ({
      metadata: {
        lock: (name: string) => {
          const kind = name.replace(/-.*/, '');
          if (kind === faults.lock) return Promise.reject(new Error(`${kind} cannot be locked`));
          locks.push(kind);
          return Promise.resolve({ release: () => void locks.splice(locks.indexOf(kind), 1) });
        },
      },
      snapshots: {
        createContainer: () => Promise.resolve('/rootfs'),
        containerPath: () => '/rootfs',
        unlockContainer: () => Promise.resolve(),
        removeContainer: () => Promise.resolve(),
        space: () => Promise.resolve({ dataFree: 2 ** 40 }),
        freeze: () => Promise.resolve(),
        writtenBytes: () => Promise.resolve(0),
      },
      runtime: {
        list: () => Promise.resolve([]),
        begin: () => Promise.resolve(),
        run: () => Promise.resolve(status),
        settle: () => (faults.settle === undefined ? Promise.resolve(false) : Promise.reject(faults.settle)),
      },
    }) as unknown as Deps;
  const run = (status: number): Promise<string> =>
    runCommand(
      deps(status),
      { instruction: { file: 'Dockerfile', start: { line: 2 }, text: 'RUN x' }, workKey: 'key' } as never,
      {
        request: { signal: new AbortController().signal } as never,
        log: { lines: [] } as never,
        onFrozen: () => Promise.resolve('done'),
        onFailure: undefined,
      },
    );

  it('what cannot be cleaned up holds no lock and does not hide why the command failed', async () => {
    faults.settle = new Error('still mounted');
    expect(await rejection(run(0))).to.equal(faults.settle);
    expect(locks).to.deep.equal([]);
    expect(await rejection(run(3))).to.be.instanceOf(BuildStepError);
    expect(locks).to.deep.equal([]);
  });

  it('a lock that cannot be had releases the one before', async () => {
    faults.lock = 'running';
    expect((await rejection(run(0))).message).to.equal('running cannot be locked');
    expect(locks).to.deep.equal([]);
  });

  it('files that cannot be kept do not hide why the command failed, and are removed', async () => {
    const store = await makeTestStore();
    const { metadata } = store.deps;
    const containers = { ...metadata.containers, put: () => Promise.reject(new Error('no room')) };
    const request = {
      ...{
        dockerfile: parseDockerfile(Buffer.from('FROM scratch\nRUN ["false"]\n'), { file: 'Dockerfile' }),
        origin: '/Dockerfile',
      },
      ...{ buildArgs: new Map(), platform: hostPlatform(), noCache: false, jobs: 1, network: 'none', secrets: [] },
      ...{ ssh: new Map(), labels: new Map(), annotations: new Map(), references: [], format: 'oci', squash: false },
      ...{ keepFailed: true, explain: false, addHosts: [], processLimits: [], ...store.common },
    };
    const building = buildImages(
      { ...store.deps, runtime: deps(3).runtime, metadata: { ...metadata, containers } } as never,
      { names: new Set(), main: () => Promise.resolve({}) } as never,
      [request as never],
    );
    expect(await rejection(building)).to.be.instanceOf(BuildStepError);
    expect(store.notes.join('\n')).to.include('warning: the files of the step that failed are not kept: no room');
    expect(await readdir(join(store.root, 'containers'))).to.deep.equal([]);
  });
});
