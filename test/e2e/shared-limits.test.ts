import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL } from '../helpers/imgtool.js';
import { startLimitedRegistry, type LimitedRegistry } from '../helpers/limited-registry.js';
import { run } from '../helpers/run.js';

const PROCESSES = 20;
const PER_SECOND = 10;
/** `npm run limits`: so many requests of each process, and nothing known before. */
const LONG = process.env.IMGTOOL_LIMIT_PAGES === undefined ? undefined : Number(process.env.IMGTOOL_LIMIT_PAGES);

describe(`${PROCESSES} processes and a registry that bears ${PER_SECOND} requests a second`, () => {
  let directory: string;
  let registry: LimitedRegistry;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-test-limits-'));
  });
  afterEach(async () => {
    await registry.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const list = async (pages: number): Promise<void> => {
    const output = await run(IMGTOOL, ['tags', `${registry.host}/app${pages}`], {
      env: { XDG_RUNTIME_DIR: directory },
    });
    expect(output.trim().split('\n')).to.have.length(pages);
  };
  const listByAll = async (pages: number): Promise<void> => {
    await Promise.all(Array.from({ length: PROCESSES }, () => list(pages)));
  };
  const expectFewRefusals = (): void => {
    const { answered, refused, host } = registry;
    const report = `${refused} of ${answered + refused} requests refused`;
    if (LONG !== undefined) console.log(`      ${report}`);
    expect(refused, report).to.be.below(0.05 * (answered + refused));
    expect(readdirSync(join(directory, 'imgtool'))).to.deep.equal([`limits-${encodeURIComponent(host)}.json`]);
  };

  if (LONG === undefined) {
    it('one learns the limit, all others keep to it: all succeed, under 5 % is refused', async () => {
      registry = await startLimitedRegistry(PER_SECOND, { tokens: 0 });
      await list(1);
      expect(registry.refused).to.equal(1);
      await listByAll(2);
      expect(registry.answered).to.equal(1 + 2 * PROCESSES);
      expectFewRefusals();
    });
    return;
  }
  for (const tells of [false, true]) {
    it(`that ${tells ? 'tells what is left' : 'tells nothing'}: all succeed, under 5 % is refused`, async () => {
      registry = await startLimitedRegistry(PER_SECOND, { tells });
      await listByAll(LONG);
      expect(registry.answered).to.equal(LONG * PROCESSES);
      expectFewRefusals();
    });
  }
});
