/** `npm run soak:kills` runs it with many kills. */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL } from '../helpers/imgtool.js';
import { baseOf, COMMANDS, FIRST, type CommandToKill } from './commands.js';
import { createWorld, randomAt, runImgtool, type Ending, type World } from './world.js';

const KILLS = Number(process.env.IMGTOOL_KILLS ?? 5);

interface Finding {
  readonly kind: string;
  readonly problem: string;
}

describe('SIGKILL at a random moment of a random command', () => {
  const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
  let world: World;
  let root: string;
  /** How long each command takes when nobody kills it, in ms. */
  const durations = new Map<string, number>();

  const ok = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runImgtool(root, args);
    expect(code, `imgtool ${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };
  const findings = async (...flags: string[]): Promise<readonly Finding[]> => {
    const { stdout } = await runImgtool(root, ['store', 'fsck', '--json', ...flags]);
    return (JSON.parse(stdout) as { findings: Finding[] }).findings;
  };

  before(async () => {
    world = await createWorld();
    root = join(btrfsDirectory('kills'), 'store');
    for (const args of FIRST) await ok(...args(world));
  });
  after(() => world.close());

  it(`${KILLS} kills: the store is whole, and the command can be run again`, async function () {
    this.timeout(60_000 + KILLS * 30_000);
    console.log(`      SEED=${seed}`);
    const kills = new Map<string, number>();
    for (let n = 0; n < KILLS; n++) {
      const command = COMMANDS[Math.floor(randomAt(seed, `${n} command`) * COMMANDS.length)]!;
      const where = `kill ${n} (SEED=${seed}): ${command.title}`;
      try {
        if (await killOnce(command, n)) kills.set(command.title, (kills.get(command.title) ?? 0) + 1);
        await expectWhole(command, n);
      } catch (error) {
        (error as Error).message = `${where}: ${(error as Error).message}`;
        throw error;
      }
      if (KILLS > 50 && n % 50 === 49) console.log(`      ${n + 1} runs`);
    }
    const total = [...kills.values()].reduce((sum, count) => sum + count, 0);
    if (KILLS > 50) console.log(`      ${total} killed of ${KILLS}:`, Object.fromEntries([...kills].sort()));
  });

  /** Resolves with whether it was killed before its end. */
  async function killOnce(command: CommandToKill, n: number): Promise<boolean> {
    for (const args of command.prepare?.(world, n) ?? []) await runImgtool(root, args);
    const args = ['--root', root, '--progress', 'none', ...command.args(world, n)];
    const started = Date.now();
    const child = spawn(IMGTOOL, args, { stdio: 'ignore' });
    const exit = once(child, 'exit');
    // Of a command that has not run yet the length is not known.
    const known = durations.get(command.title) ?? 350;
    const early = await Promise.race([exit, sleep(known * (0.2 + 0.85 * randomAt(seed, n)))]);
    child.kill('SIGKILL');
    const [code, signal] = (await exit) as [number | null, string | null];
    if (early === undefined && signal !== null) return true;
    expect(code).to.equal(0);
    durations.set(command.title, Date.now() - started);
    return false;
  }

  async function expectWhole(command: CommandToKill, n: number): Promise<void> {
    // All that a kill may leave are layers that are not recorded yet: no other command takes them for layers.
    for (const { kind, problem } of await findings('--quick'))
      expect(`${kind} ${problem}`).to.match(/^layer it has no record|^layer it was made from a layer/);
    await ok('images');
    const again: Ending = await runImgtool(root, command.args(world, n));
    expect(again.code, again.stderr).to.be.oneOf(command.again ?? [0]);
    await command.check?.((...args) => runImgtool(root, args), world, n);
    await ok('store', 'gc');
    expect(await findings()).to.deep.equal([]);
    await ok('inspect', baseOf(world));
    const left = await Promise.all(['work', 'trash', 'ingest'].map((name) => readdir(join(root, name))));
    expect(left.flat(), 'leftovers').to.deep.equal([]);
    const unnamed = (await readdir(join(root, 'layers'))).filter((name) => /^\.(?!new-)/.test(name));
    expect(unnamed, 'leftovers beside the layers').to.deep.equal([]);
  }
});
