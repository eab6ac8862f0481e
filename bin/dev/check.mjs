#!/usr/bin/env node
// check [COMMAND ARG...]: formatting, lint, types and build, then COMMAND. Everything that is wrong is reported.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

process.chdir(resolve(import.meta.dirname, '../..'));

const checked = await Promise.all([
  run('tsc', '-p', '.'),
  // The bundle is made of the sources, not of what the compiler writes: beside it.
  run(process.execPath, 'esbuild.config.js'),
  run('oxfmt', '--check', '.'),
  run('oxlint', '.'),
]);
const passed = checked.every(Boolean) && (await run(process.execPath, 'bin/dev/man.mjs'));
const [program, ...args] = process.argv.slice(2);
process.exitCode = passed && (program === undefined || (await run(program, ...args))) ? 0 : 1;

/** Runs a program of node_modules/.bin or an absolute one; resolves with whether it ended well. */
async function run(program, ...args) {
  const PATH = `${resolve('node_modules/.bin')}:${process.env.PATH}`;
  const [code] = await once(
    spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, PATH } }),
    'close',
  );
  return code === 0;
}
