import { expect } from 'chai';
import { CommandError } from '../../lib/errors.js';
import { filterProcess } from '../../lib/util/index.js';
import { rejection } from '../helpers/rejection.js';

const { signal } = new AbortController();

describe('util/filter-process', () => {
  it('pipes through a program that is slower than its source, without a listener for each wait', async () => {
    const warnings: string[] = [];
    const note = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', note);
    try {
      let bytes = 0;
      for await (const chunk of filterProcess(['cat'], blocks(64), { signal })) bytes += chunk.length;
      expect(bytes).to.equal(64 * 256 * 1024);
      // Warnings come a turn later.
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).to.deep.equal([]);
    } finally {
      process.off('warning', note);
    }
  });

  it('ends when the program stops reading', async () => {
    let text = '';
    for await (const chunk of filterProcess(['head', '-c', '3'], blocks(64), { signal })) text += chunk.toString();
    expect(text).to.equal('aaa');
    const failed = await rejection(drain(filterProcess(['sh', '-c', 'exit 3'], blocks(64), { signal })));
    expect(failed).to.be.instanceOf(CommandError);
  });
});

async function* blocks(count: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i++) yield await Promise.resolve(Buffer.alloc(256 * 1024, 'a'));
}

async function drain(chunks: AsyncIterable<Buffer>): Promise<void> {
  for await (const _chunk of chunks);
}
