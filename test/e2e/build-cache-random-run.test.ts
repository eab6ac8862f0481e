import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Imgtool } from '../../lib/imgtool/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { writeOciLayout } from '../helpers/oci-layout.js';
import { dockerfileOf, edit, randomBuild, writeBuild, type RandomBuild } from '../helpers/random-build.js';
import { randomSource, type RandomSource } from '../helpers/random-source.js';
import { smallImage } from '../helpers/small-image.js';

/** Pairs of a build with the cache and one without. */
const PAIRS = Number(process.env.IMGTOOL_BUILD_RUN_PAIRS ?? 16);
/** Edits of one build, one after the other. */
const EDITS = 8;
/** All times are later: they come out the same, so equal files make equal digests. */
const EPOCH = '1000000000';

/** Bases of one name, by their tags. */
const BASES = ['one', 'two', 'three'] as const;
/** Commands that make their files of all that a step is given. `%` is the number of an earlier stage. */
const COMMANDS = [
  'RUN echo $K $L $M >/env',
  'RUN cat /mark /t/* /w/* >/sum 2>/dev/null; true',
  'RUN find / -xdev -type f ! -path "/proc/*" ! -path /tmp/list | /bin/busybox sort >/tmp/list',
  'RUN rm -rf /t/x /t/y /a; true',
  'RUN cp -a /t /copied 2>/dev/null; true',
  'RUN pwd >>/tmp/where; id -u >>/tmp/where',
  'RUN ["/bin/sh", "-c", "echo exec >>/tmp/log"]',
  'RUN <<EOT\necho $K >>/tmp/log\nEOT',
  'RUN --mount=type=bind,target=/src cat /src/a /src/b >/tmp/context 2>/dev/null; true',
  'RUN --mount=type=bind,source=d,target=/src,rw ls /src >/tmp/d; rm -f /src/x',
  'RUN --mount=type=bind,from=s%,target=/other ls /other >/tmp/other; cat /other/env >>/tmp/other 2>/dev/null; true',
  'RUN --mount=type=tmpfs,target=/scratch touch /scratch/x; ls /scratch >/tmp/scratch',
  'RUN --network=none echo none >>/tmp/log',
  'RUN false',
] as const;

/** A random build whose stages have commands, on a base that changes. */
interface RunBuild {
  readonly build: RandomBuild;
  base: (typeof BASES)[number];
}

function command(stage: number, { below }: RandomSource): string {
  // Most builds must not fail.
  const text = COMMANDS[below(COMMANDS.length - (below(8) === 0 ? 0 : 1))]!;
  return text.includes('%') && stage === 0 ? COMMANDS[0] : text.replace('%', String(below(Math.max(stage, 1))));
}

function newBuild(random: RandomSource): RunBuild {
  const build = randomBuild(random);
  for (const [index, stage] of build.stages.entries())
    for (let count = 1 + random.below(2); count > 0; count--)
      stage.splice(random.below(stage.length + 1), 0, command(index, random));
  return { build, base: BASES[0] };
}

/** Changes one thing, and says what. */
function editRun(run: RunBuild, random: RandomSource): string {
  const { below } = random;
  const { stages } = run.build;
  switch (below(6)) {
    case 0:
      run.base = BASES[below(BASES.length)]!;
      return `base ${run.base}`;
    case 1:
    case 2: {
      const at = below(stages.length);
      const stage = stages[at]!;
      const line = command(at, random);
      const runs = stage.flatMap((text, i) => (text.startsWith('RUN') ? [i] : []));
      if (below(3) === 0 && runs.length > 0) stage.splice(runs[below(runs.length)]!, 1);
      else stage.splice(below(stage.length + 1), 0, line);
      if (stage.length > 8) stage.shift();
      return `command ${line}`;
    }
    default:
      return edit(run.build, random);
  }
}

/** The image's ID, or why there is none. */
async function outcome(building: Promise<{ readonly id: string }>): Promise<string> {
  try {
    return (await building).id;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the build cache, at random, with RUN and a base that changes', function () {
  this.timeout(60 * 60 * 1000);
  const random = randomSource();
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-random-run-'));
  const context = join(directory, 'context');
  let imgtool: Imgtool;

  before(async () => {
    const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH };
    imgtool = new Imgtool({ root: join(btrfsDirectory('random-run'), 'store'), env });
    const image = smallImage(readFileSync('/bin/busybox'));
    const layout = join(directory, 'layout');
    const images = BASES.map((tag) => {
      return { ...image, tag, layers: [image.layers[0]!, { entries: [{ path: 'mark', content: tag }] }] };
    });
    await writeOciLayout(layout, images);
    for (const tag of BASES) await imgtool.copy(`oci:${layout}:${tag}`, [`store:${tag}:1`]);
  });
  after(async () => {
    await imgtool.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it(`gives what --no-cache gives, ${PAIRS} times (seed ${random.seed})`, async () => {
    const built = new Set<string>();
    let [cached, commands] = [0, 0];
    for (let pair = 0; pair < PAIRS;) {
      const run = newBuild(random);
      const edits: string[] = [];
      for (let count = 0; count < EDITS && pair < PAIRS; count++, pair++) {
        writeBuild(context, run.build);
        await imgtool.tag(`${run.base}:1`, 'base:1');
        const dockerfile = dockerfileOf(run.build).replaceAll('FROM scratch', 'FROM base:1');
        const buildArgs = [...run.build.args].map(([name, value]) => `${name}=${value}`);
        const withCache = await outcome(
          imgtool.build(context, { dockerfile, buildArgs }).then((result) => {
            const steps = result.steps.filter((step) => step.cached);
            cached += steps.length;
            commands += steps.filter(({ text }) => text.startsWith('RUN')).length;
            return result;
          }),
        );
        const without = await outcome(imgtool.build(context, { dockerfile, buildArgs, noCache: true }));
        const story = `seed ${random.seed}, pair ${pair}: ${edits.join('; ')}\nbase ${run.base}, args ${buildArgs.join(' ')}\n${dockerfile}`;
        expect(withCache, story).to.equal(without);
        if (!withCache.startsWith('sha256:')) {
          pair += 1;
          break;
        }
        built.add(withCache);
        edits.push(editRun(run, random));
      }
    }
    // Builds that all fail, give the same or find nothing prove nothing.
    expect(built.size).to.be.at.least(PAIRS / 5);
    expect(cached).to.be.at.least(PAIRS / 5);
    expect(commands).to.be.at.least(PAIRS / 10);
  }).timeout(PAIRS * 60_000);
});
