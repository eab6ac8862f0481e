import { readdir } from 'node:fs/promises';
import { homeDirectory } from '../../util/index.js';
import type { Candidate } from './store-names.js';

/** Files in the directory that `text` names so far; directories end in a slash. */
export async function archivePaths(text: string, env: NodeJS.ProcessEnv): Promise<Candidate[]> {
  const directory = text.slice(0, text.lastIndexOf('/') + 1);
  const path = directory.startsWith('~/') ? homeDirectory(env) + directory.slice(1) : directory;
  const entries = await readdir(path || '.', { withFileTypes: true });
  return entries
    .filter(({ name }) => !name.startsWith('.') || text.startsWith(`${directory}.`))
    .map((entry) => ({ value: `${directory}${entry.name}${entry.isDirectory() ? '/' : ''}` }));
}
