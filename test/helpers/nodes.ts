import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The major versions of Node.js that imgtool supports. */
export const NODE_MAJORS = [20, 22, 24] as const;

/** Directory that holds `node` of a major version; bin/dev/setup installs it. Throws when it has not. */
export function nodeDirectory(major: number): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const directory = join(cache, 'imgtool-nodes', String(major), 'bin');
  const version = execFileSync(join(directory, 'node'), ['--version'], { encoding: 'utf8' });
  if (!version.startsWith(`v${major}.`)) throw new Error(`${directory} holds Node ${version}: run bin/dev/setup`);
  return directory;
}
