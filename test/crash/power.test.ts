/** `npm run soak:power` runs it with many cuts. */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { baseOf, COMMANDS, FIRST, type CommandToKill } from './commands.js';
import { createPowerDisk, type PowerDisk } from './power-disk.js';
import { createWorld, randomAt, runImgtool, type Ending, type World } from './world.js';

const CUTS = Number(process.env.IMGTOOL_POWER_CUTS ?? 4);

/** Commands whose result can be had again from a registry: a cut may take it, and the same command brings it back. */
const CAN_BE_FETCHED = ['pull', 'pull of all layers'];
/** Those that leave something in the store once they have ended with 0. */
const TITLES = [
  ...CAN_BE_FETCHED,
  ...['load', 'import', 'commit', 'commit --squash', 'mutate', 'append', 'flatten', 'rebase', 'tag', 'untag', 'rmi'],
  ...['create', 'rm', 'cp', 'copy to the store', 'store gc', 'store fsck --repair'],
];

describe('power cut at a random moment during and after a random command', () => {
  const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
  const commands = COMMANDS.filter(({ title }) => TITLES.includes(title));
  let world: World;
  let disk: PowerDisk;
  let root: string;

  const imgtool = (...args: readonly string[]): Promise<Ending> => runImgtool(root, args, disk.boot());
  const ok = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await imgtool(...args);
    expect(code, `imgtool ${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };

  before(async () => {
    world = await createWorld();
    disk = await createPowerDisk(btrfsDirectory('power'));
    root = join(disk.path, 'store');
    for (const args of FIRST) await ok(...args(world));
  });
  after(async () => {
    await disk.remove();
    await world.close();
  });

  it(`${CUTS} cuts: what ended with 0 is there, and nothing half is taken for whole`, async function () {
    this.timeout(60_000 + CUTS * 60_000);
    console.log(`      SEED=${seed}`);
    let during = 0;
    for (let n = 0; n < CUTS; n++) {
      const command = commands[Math.floor(randomAt(seed, `${n} command`) * commands.length)]!;
      try {
        during += (await cutOnce(command, n)) ? 0 : 1;
      } catch (error) {
        (error as Error).message = `cut ${n} (SEED=${seed}): ${command.title}: ${(error as Error).message}`;
        throw error;
      }
    }
    if (CUTS > 20) console.log(`      ${during} during a command, ${CUTS - during} after its end`);
  });

  /** Resolves with whether the command had ended before the cut. */
  async function cutOnce(command: CommandToKill, n: number): Promise<boolean> {
    for (const args of command.prepare?.(world, n) ?? []) await imgtool(...args);
    const running = imgtool(...command.args(world, n));
    const isAfter = randomAt(seed, `${n} after`) < 0.6;
    if (isAfter) await running;
    await sleep((isAfter ? 200 : 450) * randomAt(seed, n));
    let ended = isAfter;
    void running.then(() => (ended = true));
    await Promise.resolve();
    const acknowledged = ended;
    await disk.cut();
    expect((await running).code).to.equal(0);
    await disk.restart();
    await expectWhole(command, n, acknowledged);
    return acknowledged;
  }

  async function expectWhole(command: CommandToKill, n: number, acknowledged: boolean): Promise<void> {
    await ok('images');
    // What was there before is used as it is: the container, its file, and the image.
    await ok('diff', 'box');
    if (acknowledged && !CAN_BE_FETCHED.includes(command.title)) await command.check?.(imgtool, world, n);
    const again = await imgtool(...command.args(world, n));
    expect(again.code, again.stderr).to.be.oneOf(command.again ?? [0]);
    await command.check?.(imgtool, world, n);
    await ok('store', 'gc');
    await ok('store', 'fsck', '--repair');
    await ok('store', 'fsck');
    await ok('create', '--name', `after-${n}`, baseOf(world));
    await ok('rm', `after-${n}`);
  }
});
