import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Imgtool } from '../../lib/imgtool/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { dockerfileOf, edit, randomBuild, writeBuild } from '../helpers/random-build.js';
import { randomSource } from '../helpers/random-source.js';

/** Pairs of a build with the cache and one without. */
const PAIRS = Number(process.env.IMGTOOL_BUILD_PAIRS ?? 500);
/** Edits of one build, one after the other. */
const EDITS = 10;
/** All times are later: they come out the same, so equal files make equal digests. */
const EPOCH = '1000000000';

/** The image's ID, or why there is none. */
async function outcome(building: Promise<{ readonly id: string }>): Promise<string> {
  try {
    return (await building).id;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the build cache, at random', function () {
  this.timeout(60 * 60 * 1000);
  const random = randomSource();
  const context = mkdtempSync(join(tmpdir(), 'imgtool-random-build-'));
  let imgtool: Imgtool;

  before(() => {
    const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH };
    imgtool = new Imgtool({ root: join(btrfsDirectory('random-build'), 'store'), env });
  });
  after(async () => {
    await imgtool.close();
    rmSync(context, { recursive: true, force: true });
  });

  it(`gives what --no-cache gives, ${PAIRS} times (seed ${random.seed})`, async () => {
    const built = new Set<string>();
    let cached = 0;
    for (let pair = 0; pair < PAIRS;) {
      const build = randomBuild(random);
      const edits: string[] = [];
      for (let count = 0; count < EDITS && pair < PAIRS; count++, pair++) {
        writeBuild(context, build);
        const buildArgs = [...build.args].map(([name, value]) => `${name}=${value}`);
        const steps: boolean[] = [];
        const withCache = await outcome(
          imgtool.build(context, { buildArgs }).then((result) => {
            steps.push(...result.steps.map((step) => step.cached));
            return result;
          }),
        );
        const without = await outcome(imgtool.build(context, { buildArgs, noCache: true }));
        const story = `seed ${random.seed}, pair ${pair}: ${edits.join('; ')}\n${dockerfileOf(build)}args ${buildArgs.join(' ')}`;
        expect(withCache, story).to.equal(without);
        cached += steps.filter(Boolean).length;
        if (!withCache.startsWith('sha256:')) {
          pair += 1;
          break;
        }
        built.add(withCache);
        edits.push(edit(build, random));
      }
    }
    // Builds that all fail, give the same or find nothing prove nothing.
    expect(built.size).to.be.at.least(PAIRS / 5);
    expect(cached).to.be.at.least(PAIRS / 5);
  });
});
