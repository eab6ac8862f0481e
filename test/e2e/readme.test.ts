import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { run } from '../helpers/run.js';

/** Digests depend on the machine's architecture and on Node's zlib; uploads are told in the order in which they end. */
function comparable(tour: string): string[][] {
  return tour
    .replaceAll(/\b[0-9a-f]{12,64}\b/g, 'HEX')
    .split(/^(?=\$ )/m)
    .map((part) => part.trim().split('\n').sort());
}

describe('README.md', () => {
  let page: string;
  before(async () => {
    page = await readFile('README.md', 'utf8');
  });

  it('shows what the commands of its tour print', async () => {
    const [, shown = ''] = /<!-- tour -->\n```console\n([^]*?)```\n<!-- end of tour -->/.exec(page) ?? [];
    const printed = await run('bin/dev/tour.mjs', ['--print']);
    expect(comparable(shown)).to.deep.equal(comparable(printed));
    const [, bytes] = /a layer of (\d+) bytes/.exec(page) ?? [];
    expect(printed).to.include(`: uploaded ${bytes}B\n`);
  });

  it('names scripts that package.json has', async () => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
    const named = [...page.matchAll(/\bnpm (?:run (\w+)|(test))\b/g)].map(([, script, test]) => (script ?? test)!);
    expect(named).to.include.members(['build', 'demo', 'test']);
    expect(scripts).to.include.keys(...new Set(named));
  });
});
