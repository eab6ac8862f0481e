import { readFile } from 'node:fs/promises';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The word with which the scripts call the program: see `completionAnswer`. */
export const COMPLETION_REQUEST = '__complete';

/** The completion script of a shell, a file next to this one. */
export function completionScript(shell: Shell): Promise<Buffer> {
  return readFile(new URL(`./imgtool.${shell}`, import.meta.url));
}
