import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { onAbort } from '../../lib/util/index.js';

describe('util/on-abort', () => {
  it('calls each callback once, though the signal has one listener', () => {
    const controller = new AbortController();
    const called: number[] = [];
    const forget = Array.from({ length: 20 }, (_, i) => onAbort(controller.signal, () => called.push(i)));
    expect(getEventListeners(controller.signal, 'abort')).to.have.length(1);
    forget[3]!();
    controller.abort();
    expect(called).to.deep.equal(Array.from({ length: 20 }, (_, i) => i).filter((i) => i !== 3));
    forget[4]!();
  });

  it('leaves no listener behind', () => {
    const { signal } = new AbortController();
    const forget = [1, 2].map(() => onAbort(signal, () => undefined));
    for (const each of forget) each();
    expect(getEventListeners(signal, 'abort')).to.have.length(0);
    onAbort(signal, () => undefined)();
    expect(getEventListeners(signal, 'abort')).to.have.length(0);
  });
});
