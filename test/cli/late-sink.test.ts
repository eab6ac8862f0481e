import { expect } from 'chai';
import { LateSink } from '../../lib/cli/late-sink.js';

describe('LateSink', () => {
  it('loads with the first message, and tells all of them in order before it is closed', async () => {
    const told: string[] = [];
    let resolve!: () => void;
    const promise = new Promise<void>((done) => (resolve = done));
    let loads = 0;
    const sink = new LateSink(async () => {
      loads += 1;
      await promise;
      return {
        event: ({ digest }) => void told.push(digest),
        note: (message) => void told.push(message),
        close: () => void told.push('closed'),
      };
    });
    await sink.close();
    expect([loads, told]).to.deep.equal([0, []]);
    sink.note('a');
    sink.event({ v: 1, kind: 'blob', action: 'fetch', digest: 'b', state: 'active' });
    const written = sink.written();
    sink.note('c');
    const closed = sink.close();
    expect(told).to.deep.equal([]);
    resolve();
    await written;
    expect(told.slice(0, 3)).to.deep.equal(['a', 'b', 'c']);
    sink.note('d');
    await closed;
    expect([loads, told.toSorted()]).to.deep.equal([1, ['a', 'b', 'c', 'closed', 'd']]);
  });
});
