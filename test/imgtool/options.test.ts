import { expect } from 'chai';
import { NotFoundError, UsageError } from '../../lib/errors.js';
import { Imgtool, type ImgtoolOptions } from '../../lib/imgtool/index.js';
import { rejection } from '../helpers/rejection.js';

/** As from JavaScript, where the compiler does not help. */
const untyped = (value: unknown): never => value as never;

describe('Imgtool', () => {
  const wrongSettings: readonly [title: string, options: unknown, message: RegExp][] = [
    ['an unknown name', { tlsverify: false }, /new Imgtool has no option "tlsverify"/],
    ['a number as text', { parallel: '6' }, /the option parallel is not a whole number of at least 1/],
    ['a size that is none', { limitRate: 'fast' }, /the option limitRate is not a number of bytes/],
    ['a protocol that is none', { registryVersion: '3' }, /the option registryVersion cannot be "3"/],
    ['an empty root', { root: '' }, /the option root is not a string that is not empty/],
    ['null', { timeout: null }, /the option timeout is not/],
    ['settings of a host that are none', { hosts: { 'a:1': { tls: false } } }, /hosts\[a:1\] has no option "tls"/],
    ['no object', 'root', /the options are not an object/],
  ];
  for (const [title, options, message] of wrongSettings) {
    it(`refuses ${title} at once, and names it`, () => {
      expect(() => new Imgtool(options as ImgtoolOptions)).to.throw(UsageError, message);
    });
  }

  const wrongCalls: readonly [title: string, call: (imgtool: Imgtool) => Promise<unknown>, message: RegExp][] = [
    ['pull without a reference', (imgtool) => imgtool.pull(untyped(undefined)), /pull: the reference is not a string/],
    ['pull with a slip', (imgtool) => imgtool.pull('a', untyped({ platfrom: 'x' })), /pull has no option "platfrom"/],
    [
      'pull with a policy of none',
      (imgtool) => imgtool.pull('a', untyped({ policy: 'now' })),
      /option policy cannot be/,
    ],
    [
      'a signal that is a controller',
      (imgtool) => imgtool.pull('a', untyped({ signal: new AbortController() })),
      /signal/,
    ],
    ['copy to nowhere', (imgtool) => imgtool.copy('a', []), /copy: no destination is given/],
    ['copy to a number', (imgtool) => imgtool.copy('a', untyped(1)), /the list of destinations is not an array/],
    ['commit with text for changes', (imgtool) => imgtool.commit('a', 'b', untyped({ changes: 'ENV A=1' })), /changes/],
    ['export into an object', (imgtool) => imgtool.export('a', untyped({})), /export: the output is neither/],
    ['build with an output of none', (imgtool) => imgtool.build('.', untyped({ outputs: 5 })), /the option outputs/],
    ['build with null', (imgtool) => imgtool.build('.', untyped(null)), /build: the options are not an object/],
    ['null for options', (imgtool) => imgtool.rmi('a', untyped(null)), /rmi: the options are not an object/],
    ['login without a password', (imgtool) => imgtool.login('a', untyped({ username: 'u' })), /the option password/],
    ['serve at no address', (imgtool) => imgtool.serve({ listen: 'here' }), /is not an address/],
  ];
  for (const [title, call, message] of wrongCalls) {
    it(`refuses ${title}`, async () => {
      await using imgtool = new Imgtool({ root: '/nowhere' });
      const error = await rejection(call(imgtool));
      expect(error).to.be.instanceOf(UsageError);
      expect((error as Error).message).to.match(message);
    });
  }

  it('suggests the option that was meant', async () => {
    await using imgtool = new Imgtool({ root: '/nowhere' });
    expect(await rejection(imgtool.pull('a', untyped({ platfrom: 'x' })))).to.have.property(
      'hint',
      'did you mean platform?',
    );
  });

  it('opens nothing before it is needed, and nothing after it is closed', async () => {
    const imgtool = new Imgtool({ root: '/nowhere' });
    expect(await rejection(imgtool.mount('box'))).to.be.instanceOf(NotFoundError);
    expect(await imgtool.images()).to.deep.equal([]);
    await imgtool.close();
    await imgtool.close();
    expect(await rejection(imgtool.images())).to.be.instanceOf(UsageError);
  });

  it('rejects with AbortError for a signal that is aborted already', async () => {
    await using imgtool = new Imgtool({ root: '/nowhere' });
    const signal = AbortSignal.abort();
    expect(await rejection(imgtool.tags('127.0.0.1:1/a', { signal }))).to.have.property('name', 'AbortError');
  });
});
