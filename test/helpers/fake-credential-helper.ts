/** Credential helper programs of the docker-credential-helpers protocol, as shell scripts. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Keeps each login in a file of its directory and notes its arguments in `argv`. */
const KEEPING = `
file() { printf %s "$1" | tr / _; }
echo "$*" >>"$dir/argv"
case $1 in
get) cat "$dir/$(file "$(cat)")" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
store) input=$(cat); printf %s "$input" >"$dir/$(file "$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/')")" ;;
erase) rm "$dir/$(file "$(cat)")" ;;
esac`;

/** What a helper does wrong. */
export const BAD_HELPERS = {
  failing: 'cat >/dev/null; echo \'{"Username":"x","Secret":"leaked-secret"}\'; echo leaked-secret >&2; exit 3',
  // What it starts outlives it for a while and holds its pipes.
  hanging: 'echo leaked-secret; sleep 5 & wait',
  rubbish: 'cat >/dev/null; echo "<html>leaked-secret"',
  numbers: 'cat >/dev/null; echo \'{"Username":1,"Secret":["leaked-secret"]}\'',
  endless: 'while :; do echo leaked-secretleaked-secretleaked-secretleaked-secret; done',
  killed: 'kill -9 $$',
} as const;

/** A directory of helper programs, for PATH. */
export interface FakeHelpers {
  /** PATH with them. */
  readonly path: string;
  /** What the keeping helper `name` has for a server; undefined for nothing. */
  kept(name: string, server: string): Promise<string | undefined>;
  /** All that was given to the keeping helper `name` as arguments. */
  argv(name: string): Promise<string>;
}

/** Writes `docker-credential-NAME` for each name: a kind of BAD_HELPERS does that, others keep what they are given. */
export async function makeHelpers(directory: string, names: readonly string[]): Promise<FakeHelpers> {
  const bin = join(directory, 'bin');
  const keep = (name: string): string => join(directory, `kept-${name}`);
  await mkdir(bin);
  for (const name of names) {
    await mkdir(keep(name));
    const body = Object.hasOwn(BAD_HELPERS, name) ? BAD_HELPERS[name as keyof typeof BAD_HELPERS] : KEEPING;
    const program = join(bin, `docker-credential-${name}`);
    await writeFile(program, `#!/bin/sh\ndir='${keep(name)}'\n${body}\n`);
    await chmod(program, 0o755);
  }
  return {
    path: `${bin}:${process.env.PATH}`,
    kept: (name, server) => readFile(join(keep(name), server.replaceAll('/', '_')), 'utf8').catch(() => undefined),
    argv: (name) => readFile(join(keep(name), 'argv'), 'utf8').catch(() => ''),
  };
}
