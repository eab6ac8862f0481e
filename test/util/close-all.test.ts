import { expect } from 'chai';
import { closeAll, orCloseAll, thenCloseAll } from '../../lib/util/index.js';
import { rejection } from '../helpers/rejection.js';

describe('util/close-all', () => {
  let closed: string[];
  beforeEach(() => (closed = []));
  const closing = (name: string) => (): Promise<void> => Promise.resolve(void closed.push(name));
  const failing = (name: string) => (): never => {
    closed.push(name);
    throw new Error(name);
  };

  it('runs all, one after the other, and throws the first error', async () => {
    const error = await rejection(closeAll([closing('a'), failing('b'), closing('c'), failing('d')]));
    expect(error.message).to.equal('b');
    expect(closed).to.deep.equal(['a', 'b', 'c', 'd']);
    await closeAll([closing('e'), () => undefined]);
  });

  it('an error of closing does not hide that of the work', async () => {
    for (const both of [thenCloseAll, orCloseAll]) {
      closed = [];
      const error = await rejection(both(() => Promise.reject(new Error('work')), [failing('a'), closing('b')]));
      expect(error.message).to.equal('work');
      expect(closed).to.deep.equal(['a', 'b']);
    }
  });

  it('closes what the work has added, after it or only when it fails', async () => {
    const closes = [closing('a')];
    const work = (): Promise<string> => Promise.resolve(String(closes.push(closing('b'))));
    expect(await orCloseAll(work, closes)).to.equal('2');
    expect(closed).to.deep.equal([]);
    expect(await thenCloseAll(work, closes)).to.equal('3');
    expect(closed).to.deep.equal(['a', 'b', 'b']);
    expect((await rejection(thenCloseAll(() => Promise.resolve(), [failing('c')]))).message).to.equal('c');
  });
});
