/** The recipes of docs/ci: the scripts in the code blocks of their pages, as the CI system that they are for would run them. */
import { parse } from 'yaml';

/** A fenced block of a Markdown page. */
export interface CodeBlock {
  readonly page: string;
  /** The heading above it. */
  readonly heading: string;
  readonly language: string;
  readonly text: string;
}

/** A script and how its CI system starts it. */
export interface RecipeScript {
  /** Program and arguments that the text is added to. */
  readonly shell: readonly [string, ...string[]];
  readonly text: string;
  /** Variables that the recipe sets; they may hold expressions of the CI system. */
  readonly env: Readonly<Record<string, string>>;
  /** What outputs of it are known by (GitHub). */
  readonly id?: string | undefined;
}

/** One job; or the blocks of plain shell below one heading, which are run in their order. */
export interface Recipe {
  /** `gitlab.md: promote`. */
  readonly name: string;
  readonly scripts: readonly RecipeScript[];
  /** The document it was read from; undefined for plain shell. */
  readonly document?: unknown;
}

/** All that is in the blocks of some pages. */
export interface RecipeBook {
  readonly recipes: readonly Recipe[];
  /** Files beside the scripts, by name. */
  readonly files: ReadonlyMap<string, string>;
}

const BASH = ['bash', '-eo', 'pipefail', '-c'] as const;
const SH = ['sh', '-ec'] as const;

/** The fenced blocks of a page. Throws when a fence is not closed. */
export function codeBlocks(page: string, markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let heading = '';
  let open: { language: string; lines: string[] } | undefined;
  for (const line of markdown.split('\n')) {
    if (open === undefined) {
      if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
      if (line.startsWith('```')) open = { language: line.slice(3), lines: [] };
    } else if (line === '```') {
      blocks.push({ page, heading, language: open.language, text: `${open.lines.join('\n')}\n` });
      open = undefined;
    } else open.lines.push(line);
  }
  if (open !== undefined) throw new Error(`${page}: the last code block has no end`);
  return blocks;
}

/** Reads the recipes of blocks. Throws for a block that nothing can be made of: each must be run. */
export function readRecipes(blocks: readonly CodeBlock[]): RecipeBook {
  const recipes: Recipe[] = [];
  const files = new Map<string, string>();
  const gitlab: Record<string, GitLabJob> = {};
  const addScripts = (name: string, scripts: readonly RecipeScript[]): void => {
    const last = recipes.at(-1);
    if (last?.name === name) recipes[recipes.length - 1] = { ...last, scripts: [...last.scripts, ...scripts] };
    else recipes.push({ name, scripts });
  };
  for (const block of blocks) {
    const { page, heading, language, text } = block;
    const name = `${page}: ${heading}`;
    const file = /^(?:#|\/\/) (\S+)/.exec(text)?.[1] ?? '';
    if (language === 'sh') addScripts(name, [{ shell: SH, text, env: {} }]);
    else if (language === 'crontab') addScripts(name, cronScripts(name, text));
    else if (file === 'Jenkinsfile') addScripts(name, jenkinsScripts(text));
    else if (file === '.gitlab-ci.yml') Object.assign(gitlab, parse(text));
    else if (file.startsWith('.github/workflows/')) recipes.push(...gitHubRecipes(page, parse(text) as GitHubWorkflow));
    else if (file.endsWith('-task.yaml')) recipes.push(tektonRecipe(page, parse(text) as TektonTask));
    else if (file.endsWith('.yaml')) files.set(file, text);
    else throw new Error(`${name}: no way to run a block of "${language}" that begins with ${text.split('\n')[0]}`);
  }
  const { default: common, ...jobs } = gitlab;
  for (const [job, { before_script, script }] of Object.entries(jobs)) {
    const lines = [...(before_script ?? common?.before_script ?? []), ...(script ?? [])];
    const text = lines.join('\n');
    recipes.push({ name: `gitlab.md: ${job}`, scripts: [{ shell: BASH, text, env: {} }], document: gitlab[job] });
  }
  return { recipes, files };
}

interface GitLabJob {
  readonly before_script?: readonly string[];
  readonly script?: readonly string[];
}

interface GitHubWorkflow {
  readonly env?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly steps: readonly {
          readonly id?: string;
          readonly uses?: string;
          readonly run?: string;
          readonly env?: Readonly<Record<string, string>>;
        }[];
      }
    >
  >;
}

function gitHubRecipes(page: string, workflow: GitHubWorkflow): Recipe[] {
  return Object.entries(workflow.jobs).map(([job, { steps }]) => ({
    name: `${page}: ${job}`,
    scripts: steps.flatMap(({ id, run, env }) =>
      run === undefined ? [] : [{ shell: ['bash', '-ec'] as const, text: run, env: { ...workflow.env, ...env }, id }],
    ),
    document: workflow,
  }));
}

interface TektonTask {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly steps: readonly {
      readonly script: string;
      readonly env?: readonly { readonly name: string; readonly value: string }[];
    }[];
  };
}

function tektonRecipe(page: string, task: TektonTask): Recipe {
  return {
    name: `${page}: ${task.metadata.name}`,
    scripts: task.spec.steps.map(({ script, env = [] }) => ({
      shell: ['sh', '-c'],
      text: script,
      env: Object.fromEntries(env.map(({ name, value }) => [name, value])),
    })),
    document: task,
  };
}

/** `NAME = 'value'` of the environment and the scripts of `sh`, which Jenkins runs with `-xe`. */
function jenkinsScripts(text: string): RecipeScript[] {
  const env = Object.fromEntries(
    [...text.matchAll(/^ +([A-Z_]+) = (?:'([^']*)'|"([^"]*)")$/gm)].map(([, key, single, double]) => [
      key!,
      single ?? double!,
    ]),
  );
  return [...text.matchAll(/\bsh (?:'''(.*?)'''|'([^'\n]*)')/gs)].map(([, long, short]) => ({
    shell: ['sh', '-xec'] as const,
    text: (long ?? short)!,
    env,
  }));
}

/** Each line of a user's crontab: five fields and a command for `sh -c`, where `%` would be a newline. */
function cronScripts(name: string, text: string): RecipeScript[] {
  const env: Record<string, string> = {};
  const scripts: RecipeScript[] = [];
  for (const line of text.trim().split('\n')) {
    const [, key, value] = /^([A-Z]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) {
      env[key] = value!;
      continue;
    }
    const [, command] = /^(?:[\d*/,-]+ ){5}(.*)$/.exec(line) ?? [];
    if (command === undefined || command.includes('%')) throw new Error(`${name}: no line of a crontab: ${line}`);
    scripts.push({ shell: ['sh', '-c'], text: command, env: { ...env } });
  }
  return scripts;
}
