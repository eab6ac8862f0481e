import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Ending, World } from './world.js';

/** Runs the program on the store. */
export type Run = (...args: readonly string[]) => Promise<Ending>;

/** One command to be killed. `n` is the number of the kill: names that must be new have it in them. */
export interface CommandToKill {
  readonly title: string;
  readonly args: (world: World, n: number) => readonly string[];
  /** Commands that make the state it needs; failures are no matter. */
  readonly prepare?: (world: World, n: number) => readonly (readonly string[])[];
  /** Exit codes when it is run again after the kill: it may have been done already. Default: 0 only. */
  readonly again?: readonly number[];
  /** What holds once it has ended with 0. */
  readonly check?: (run: Run, world: World, n: number) => Promise<void>;
}

/** The image that the store has from the beginning, and a container of it with a change. */
export const baseOf = ({ registry }: World): string => `${registry}/base:1`;
const nextOf = ({ registry }: World): string => `${registry}/next:1`;
const otherOf = ({ registry }: World): string => `${registry}/other:1`;

/** What is in the store before the first kill. */
export const FIRST: readonly ((world: World) => readonly string[])[] = [
  (world) => ['pull', baseOf(world)],
  (world) => ['pull', otherOf(world)],
  (world) => ['create', '--name', 'box', baseOf(world)],
  (world) => ['cp', world.file, 'box:/changed'],
];

/** A container can be made of an image, and its top layer has files. */
async function usable(run: Run, image: string): Promise<void> {
  const made = await run('create', image);
  expect(made.code, `create ${image}: ${made.stderr}`).to.equal(0);
  expect((await run('rm', made.stdout.trim())).code).to.equal(0);
}

const makes = (name: string, args: CommandToKill['args'], more: Partial<CommandToKill> = {}): CommandToKill => ({
  title: '',
  args,
  check: (run) => usable(run, name),
  ...more,
});

/** All commands that write, but for servers and logins. */
export const COMMANDS: readonly CommandToKill[] = [
  {
    title: 'pull',
    prepare: (world) => [['rmi', nextOf(world)]],
    args: (world) => ['pull', nextOf(world)],
    check: (run, world) => usable(run, nextOf(world)),
  },
  {
    title: 'pull of all layers',
    prepare: (world) => [['rmi', otherOf(world)]],
    args: (world) => ['pull', otherOf(world)],
    check: (run, world) => usable(run, otherOf(world)),
  },
  {
    ...makes('local/loaded:1', (world) => ['load', '-i', world.archive]),
    title: 'load',
    prepare: () => [['rmi', 'local/loaded:1']],
  },
  {
    ...makes('local/imported:1', (world) => ['import', world.tar, 'local/imported:1']),
    title: 'import',
    prepare: () => [['rmi', 'local/imported:1']],
  },
  {
    ...makes('local/committed:1', () => ['commit', 'box', 'local/committed:1']),
    title: 'commit',
    prepare: () => [['rmi', 'local/committed:1']],
  },
  {
    ...makes('local/squashed:1', () => ['commit', '--squash', 'box', 'local/squashed:1']),
    title: 'commit --squash',
  },
  {
    ...makes('local/config:1', (world, n) => ['mutate', '-c', `ENV N=${n}`, '-t', 'local/config:1', baseOf(world)]),
    title: 'mutate',
  },
  {
    ...makes('local/more:1', (world) => ['append', '-t', 'local/more:1', baseOf(world), world.tar]),
    title: 'append',
    prepare: () => [['rmi', 'local/more:1']],
  },
  {
    ...makes('local/flat:1', (world) => ['flatten', '-t', 'local/flat:1', otherOf(world)]),
    title: 'flatten',
    prepare: () => [['rmi', 'local/flat:1']],
  },
  {
    ...makes('local/moved:1', (world) => ['rebase', '--onto', otherOf(world), '-t', 'local/moved:1', 'local/above:1']),
    title: 'rebase',
    prepare: (world) => [
      ['append', '-t', 'local/above:1', baseOf(world), world.tar],
      ['rmi', 'local/moved:1'],
    ],
  },
  {
    ...makes('local/tagged:1', (world) => ['tag', baseOf(world), 'local/tagged:1']),
    title: 'tag',
    prepare: () => [['untag', 'local/tagged:1']],
  },
  {
    title: 'untag',
    prepare: (world) => [['tag', baseOf(world), 'local/tagged:1']],
    args: () => ['untag', 'local/tagged:1'],
    again: [0, 3],
  },
  {
    title: 'rmi',
    prepare: (world) => [['load', '-i', world.archive]],
    args: () => ['rmi', 'local/loaded:1'],
    again: [0, 3],
  },
  {
    title: 'create',
    args: (world, n) => ['create', '--name', `made-${n}`, baseOf(world)],
    again: [0, 3],
    check: async (run, _world, n) => {
      expect((await run('diff', `made-${n}`)).code).to.equal(0);
      expect((await run('rm', `made-${n}`)).code).to.equal(0);
    },
  },
  {
    title: 'rm',
    prepare: (world, n) => [['create', '--name', `gone-${n}`, baseOf(world)]],
    args: (_world, n) => ['rm', `gone-${n}`],
    again: [0, 3],
  },
  {
    title: 'cp',
    args: (world) => ['cp', world.file, 'box:/copied'],
    check: async (run, world) => {
      const directory = (await run('mount', 'box')).stdout.trim();
      expect(await readFile(join(directory, 'copied'))).to.deep.equal(await readFile(world.file));
    },
  },
  {
    title: 'run',
    args: (world) => ['run', '--rm', baseOf(world), '--', '/bin/busybox', 'true'],
  },
  { title: 'diff', args: () => ['diff', 'box'] },
  { title: 'push', args: (world, n) => ['push', baseOf(world), `${world.registry}/pushed:${n}`] },
  {
    title: 'copy',
    args: (world, n) => ['copy', `docker://${nextOf(world)}`, `docker://${world.registry}/copied-${n}:1`],
  },
  {
    ...makes('local/copied:1', (world) => ['copy', `docker://${nextOf(world)}`, 'store:local/copied:1']),
    title: 'copy to the store',
    prepare: () => [['rmi', 'local/copied:1']],
  },
  { title: 'save', args: (world) => ['save', '-o', join(world.directory, 'saved.tar'), baseOf(world)] },
  { title: 'export', args: (world) => ['export', '-o', join(world.directory, 'exported.tar'), 'box'] },
  { title: 'sync', args: (world, n) => ['sync', `${world.registry}/base`, `${world.registry}/mirror-${n}`] },
  { title: 'store gc', prepare: (world) => [['rmi', nextOf(world)]], args: () => ['store', 'gc'] },
  { title: 'store gc --drop-blobs', args: () => ['store', 'gc', '--drop-blobs'] },
  { title: 'store fsck', args: () => ['store', 'fsck'] },
  { title: 'store fsck --repair', args: () => ['store', 'fsck', '--repair'] },
];
