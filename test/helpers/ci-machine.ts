/** A machine of its own for one job of a CI system: home, working directory, and an npm that installs this checkout. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { IMGTOOL } from './imgtool.js';
import type { RecipeScript } from './recipes.js';

/** Where a job runs. */
export interface CiMachine {
  readonly home: string;
  /** Where its scripts start; holds the files of the recipe. */
  readonly cwd: string;
  readonly path: string;
}

/** How a script is run beyond what the recipe says. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** What the CI system puts in for its expressions, by name: `secrets.TOKEN`, `params.source`, `env.HOME`. */
  readonly expressions?: Readonly<Record<string, string>>;
  /** Arguments of a plain script. */
  readonly args?: readonly string[];
}

/** How a script ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `${{ name }}` of GitHub, `$(name)` of Tekton, `${env.NAME}` of Jenkins. */
const EXPRESSION = /\$\{\{ (.*?) \}\}|\$\(((?:params|workspaces|results)\.[\w.-]+)\)|\$\{(env\.\w+)\}/g;

/** Makes a machine below `directory`. Its npm knows one package; `isInstalled`: that is there already. */
export async function makeCiMachine(
  directory: string,
  files: ReadonlyMap<string, string>,
  { isInstalled = false }: { readonly isInstalled?: boolean } = {},
): Promise<CiMachine> {
  const home = await mkdtemp(join(directory, 'job-'));
  const [cwd, tools, prefix] = ['work', 'tools', 'npm'].map((name) => join(home, name)) as [string, string, string];
  await Promise.all([mkdir(cwd), mkdir(tools), mkdir(join(prefix, 'bin'), { recursive: true })]);
  const npm = `#!/bin/sh
    set -eu
    prefix=${prefix}
    [ "$1 $2" = 'install --global' ] && shift 2
    [ "$1" != --prefix ] || { prefix=$2 && shift 2; }
    [ "$*" = imgtool ] || { echo "no package $*" >&2 && exit 1; }
    mkdir -p "$prefix/bin" && ln -sf ${IMGTOOL} "$prefix/bin/imgtool"\n`;
  await writeFile(join(tools, 'npm'), npm);
  await chmod(join(tools, 'npm'), 0o755);
  const sudo = '#!/bin/sh\n[ "$1" = --preserve-env ] && shift && exec "$@"\n';
  await writeFile(join(tools, 'sudo'), sudo, { mode: 0o755 });
  if (isInstalled) await symlink(IMGTOOL, join(prefix, 'bin/imgtool'));
  for (const [name, text] of files) await writeFile(join(cwd, name), text);
  return { home, cwd, path: [join(prefix, 'bin'), tools, dirname(process.execPath), '/usr/bin', '/bin'].join(':') };
}

/**
 * Runs a script without the environment of this process. Throws when the CI system would not know an expression, or when one
 * is inside of the script, where what it stands for would be read as shell.
 */
export async function runScript(
  machine: CiMachine,
  script: RecipeScript,
  { env = {}, expressions = {}, args = [] }: Surroundings = {},
): Promise<Outcome> {
  if (script.text.search(EXPRESSION) >= 0) throw new Error(`an expression inside of a script: ${script.text}`);
  const resolve = (text: string): string =>
    text.replace(EXPRESSION, (all: string, ...names: (string | undefined)[]) => {
      const value = expressions[names.slice(0, 3).find((name) => name !== undefined) ?? ''];
      if (value === undefined) throw new Error(`the CI system does not know ${all}`);
      return value;
    });
  const own = Object.fromEntries(Object.entries(script.env).map(([name, value]) => [name, resolve(value)]));
  const [program, ...start] = script.shell;
  const options = {
    cwd: machine.cwd,
    env: { HOME: machine.home, TMPDIR: dirname(machine.home), CI: 'true', PATH: machine.path, ...env, ...own },
  };
  return new Promise((done) => {
    const child = execFile(program, [...start, script.text, 'recipe', ...args], options, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
    child.stdin?.end();
  });
}
