/** What tests of recipes work in: the recipes of docs/ci, registries in place of their example hosts, and machines for jobs. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeCiMachine, runScript, type CiMachine, type Outcome, type Surroundings } from './ci-machine.js';
import { COMMIT, PRODUCTION_LOGIN, STAGING_LOGIN, startCiRegistries, type CiRegistries } from './ci-registries.js';
import { IMGTOOL } from './imgtool.js';
import { codeBlocks, readRecipes, type Recipe, type RecipeBook, type RecipeScript } from './recipes.js';

const PAGES = 'docs/ci';

/** The recipes of `imgtool build`, which have a test file of their own. */
export const BUILD_RECIPES: readonly string[] = [
  'github.md: build',
  'gitlab.md: build',
  'gitlab.md: build-as-with-kaniko',
  'shell.md: Build and push with a remote cache',
];

/** How a job of GitHub ended. */
export interface GitHubJobOutcome {
  /** Of each step that ran; a failed one is the last. */
  readonly outcomes: readonly Outcome[];
  /** By the names that expressions use: `steps.ID.outputs.NAME`. */
  readonly outputs: ReadonlyMap<string, string>;
  readonly summary: string;
}

/** Open one for each test file; `close` ends its registries. */
export class RecipeWorld {
  readonly registries: CiRegistries;
  /** Names of the recipes that were asked for. */
  readonly seen = new Set<string>();
  readonly #directory: string;
  readonly #book: RecipeBook;

  private constructor(directory: string, registries: CiRegistries, book: RecipeBook) {
    this.#directory = directory;
    this.registries = registries;
    this.#book = book;
  }

  static async open(): Promise<RecipeWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'imgtool-recipes-'));
    const registries = await startCiRegistries(directory);
    const pages = (await readdir(PAGES)).filter((name) => name.endsWith('.md')).sort();
    const texts = await Promise.all(pages.map((page) => readFile(join(PAGES, page), 'utf8')));
    const blocks = pages.flatMap((page, i) => codeBlocks(page, withHosts(texts[i]!, registries)));
    return new RecipeWorld(directory, registries, readRecipes(blocks));
  }

  async close(): Promise<void> {
    await this.registries.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Names of all recipes, sorted. */
  get names(): readonly string[] {
    return this.#book.recipes.map(({ name }) => name).sort();
  }

  /** The recipe of a name: `gitlab.md: JOB`, `shell.md: HEADING`. */
  recipe(name: string): Recipe {
    this.seen.add(name);
    const found = this.#book.recipes.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no recipe "${name}"; there are: ${this.names.join(', ')}`);
    return found;
  }

  /** A machine with the files of the recipes. */
  newMachine(options: { readonly isInstalled?: boolean } = {}): Promise<CiMachine> {
    return makeCiMachine(this.#directory, this.#book.files, options);
  }

  /** Runs a script; no output may hold a password. */
  async runRecipe(machine: CiMachine, script: RecipeScript, surroundings?: Surroundings): Promise<Outcome> {
    const outcome = await runScript(machine, script, surroundings);
    for (const { password } of [STAGING_LOGIN, PRODUCTION_LOGIN])
      expect(outcome.stdout + outcome.stderr).to.not.include(password);
    return outcome;
  }

  /** Runs a script that must end with 0. */
  async succeed(machine: CiMachine, script: RecipeScript, surroundings?: Surroundings): Promise<Outcome> {
    const outcome = await this.runRecipe(machine, script, surroundings);
    expect(outcome.code, outcome.stderr).to.equal(0);
    return outcome;
  }

  /** Stores logins in the home of a machine, as its owner did once. */
  async logIn(machine: CiMachine, ...names: readonly ('staging' | 'production')[]): Promise<void> {
    for (const { host, login } of names.map((name) => this.registries[name]))
      await this.succeed(machine, {
        shell: ['sh', '-ec'],
        text: `printf '%s' "$PASSWORD" | ${IMGTOOL} login ${host} --username ${login.user} --password-stdin`,
        env: { PASSWORD: login.password },
      });
  }

  /** The variables that GitLab gives each job. */
  gitLabEnvironment(): Record<string, string> {
    const { host, login } = this.registries.staging;
    return {
      ...{ CI_REGISTRY: host, CI_REGISTRY_USER: login.user, CI_REGISTRY_PASSWORD: login.password },
      ...{ CI_REGISTRY_IMAGE: `${host}/team/app`, CI_COMMIT_SHORT_SHA: COMMIT },
    };
  }

  /** Runs the steps of a job, up to the first that fails, with the files that GitHub gives each step. */
  async runGitHubJob(machine: CiMachine, { scripts }: Recipe): Promise<GitHubJobOutcome> {
    const expressions = {
      'secrets.GITHUB_TOKEN': STAGING_LOGIN.password,
      'secrets.PRODUCTION_PASSWORD': PRODUCTION_LOGIN.password,
      'vars.PRODUCTION_USER': PRODUCTION_LOGIN.user,
      'github.event.release.tag_name': 'github',
    };
    const outputs = new Map<string, string>();
    const outcomes: Outcome[] = [];
    const summary = join(machine.home, 'summary');
    for (const script of scripts) {
      const file = join(machine.home, randomUUID());
      await writeFile(file, '');
      const env = {
        ...{ GITHUB_ACTOR: STAGING_LOGIN.user, GITHUB_REPOSITORY: 'Team/App', GITHUB_SHA: COMMIT },
        ...{ GITHUB_OUTPUT: file, GITHUB_STEP_SUMMARY: summary },
      };
      const outcome = await this.runRecipe(machine, script, { env, expressions });
      outcomes.push(outcome);
      for (const [, key, value] of (await readFile(file, 'utf8')).matchAll(/^(\w+)=(.*)$/gm))
        outputs.set(`steps.${script.id}.outputs.${key}`, value!);
      if (outcome.code !== 0) break;
    }
    return { outcomes, outputs, summary: await readFile(summary, 'utf8').catch(() => '') };
  }
}

/** The hosts of the pages are registries of this test. */
function withHosts(text: string, { staging, production, upstream, old, schema1 }: CiRegistries): string {
  const hosts = {
    'ghcr.io': staging.host,
    'staging.example': staging.host,
    'registry.example': production.host,
    'upstream.example': upstream.host,
    'old.example': old.host,
    'schema1.example': schema1.host,
  };
  return Object.entries(hosts).reduce((all, [name, host]) => all.replaceAll(name, host), text);
}
