import { expect } from 'chai';
import { run } from '../helpers/run.js';

describe('sys/address', () => {
  it('a constant stays where it is, whatever the garbage collector does', async () => {
    const room = new URL('../../lib/sys/index.js', import.meta.url).href;
    const program = `
      import { mkdtempSync, openSync, rmSync } from 'node:fs';
      import { constantAddress, directGetXattr, setXattr } from ${JSON.stringify(room)};
      const directory = mkdtempSync('/tmp/imgtool-address-');
      setXattr(directory, 'trusted.imgtool', Buffer.from('x'));
      const fd = openSync(directory, 'r');
      const fill = () => Array.from({ length: 1000 }, () => Buffer.from('y'.repeat(100)));
      // Small buffers share memory: with these, which do not stay.
      fill();
      const address = constantAddress('trusted.imgtool');
      for (let round = 0; round < 50; round++) {
        fill();
        gc();
      }
      console.log(directGetXattr(fd, address, 0, 0));
      rmSync(directory, { recursive: true });`;
    expect(await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', program])).to.equal('1\n');
  });
});
