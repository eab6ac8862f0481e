/** imgtool as a user without rights, who has a home, no store and no btrfs. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { copyProgram } from './imgtool.js';

const NOBODY = 65534;

/** What a run of the program gave. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A user without rights. */
export interface Nobody {
  readonly home: string;
  /** Where the store would be. */
  readonly root: string;
  /** Runs imgtool; nothing is thrown when it fails. */
  imgtool(...args: readonly string[]): Promise<Outcome>;
  /** Names of the temporary files that were left. */
  leftovers(): string[];
}

/** Makes the user's directories in `base`, with a copy of the program; `env` is added to that of the runs. */
export async function makeNobody(base: string, env: Readonly<Record<string, string>> = {}): Promise<Nobody> {
  chmodSync(base, 0o755);
  const [home, tmp] = [join(base, 'home'), join(base, 'tmp')];
  const program = await copyProgram(join(base, 'program'));
  mkdirSync(home);
  mkdirSync(tmp);
  await chown(home, NOBODY, NOBODY);
  await chown(tmp, NOBODY, NOBODY);
  const root = join(home, 'store');
  const all = { PATH: process.env.PATH, HOME: home, TMPDIR: tmp, ...env };
  const imgtool = (...args: readonly string[]): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const options = { uid: NOBODY, gid: NOBODY, cwd: '/', env: all };
      const child = spawn(program, ['--root', root, '--progress', 'none', ...args], options);
      const out = { stdout: '', stderr: '' };
      child.stdout.on('data', (text: Buffer) => (out.stdout += text.toString()));
      child.stderr.on('data', (text: Buffer) => (out.stderr += text.toString()));
      child.on('close', (status) => resolve({ status, stdout: out.stdout.trim(), stderr: out.stderr }));
      child.on('error', reject);
    });
  return { home, root, imgtool, leftovers: () => readdirSync(tmp) };
}
