import { UsageError } from '../../errors.js';
import { mayNamePrograms, programNamedError } from '../../util/index.js';
import { isMapping, type ConfigFile } from '../config-file.js';
import { configPathsOf, parseOption, variablesOf, type OptionSpec, type OptionValue } from './option.js';

/** A value and its origin, as `config show --origin` prints it. */
export interface ResolvedOption {
  readonly spec: OptionSpec;
  /** Undefined when not given and without a default. */
  readonly value: OptionValue | undefined;
  /** `flag`, `variable IMGTOOL_ROOT`, `file /etc/imgtool/config.yaml` or `default`. */
  readonly origin: string;
}

/** Sources of option values; flags win over variables, variables over files, earlier files over later ones. */
export interface OptionSources {
  /** Texts as given, by option name; booleans as `true` or `false`. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly env: NodeJS.ProcessEnv;
  readonly files: readonly ConfigFile[];
}

/** The value of an option of a command with these names. Throws UsageError that names the source of an invalid value. */
export function resolveOption(
  spec: OptionSpec,
  commands: readonly (readonly string[])[],
  sources: OptionSources,
): ResolvedOption {
  const given = sources.flags.get(spec.name);
  if (given !== undefined) return { spec, value: parseAll(spec, given, `--${spec.name}`), origin: 'flag' };
  for (const variable of variablesOf(spec, commands)) {
    const text = sources.env[variable];
    if (text !== undefined && text !== '') {
      return { spec, value: parseAll(spec, [text], variable), origin: `variable ${variable}` };
    }
  }
  const paths = configPathsOf(spec, commands);
  for (const [file, path] of sources.files.flatMap((file) => paths.map((path) => [file, path] as const))) {
    const texts = textsAt(file, path);
    if (texts === undefined) continue;
    if (spec.program === true && !mayNamePrograms(file.path)) throw programNamedError(path.join('.'), file.path);
    return { spec, value: parseAll(spec, texts, `${path.join('.')} in ${file.path}`), origin: `file ${file.path}` };
  }
  return { spec, value: spec.default, origin: 'default' };
}

function parseAll(spec: OptionSpec, texts: readonly string[], source: string): OptionValue {
  const values = texts.map((text) => parseOption(spec, text, source));
  return spec.repeat === true ? (values as string[]) : values.at(-1)!;
}

function textsAt(file: ConfigFile, path: readonly string[]): string[] | undefined {
  let node: unknown = file.document;
  for (const key of path) {
    if (!isMapping(node)) return undefined;
    node = node[key];
  }
  if (node === undefined || node === null) return undefined;
  const entries: unknown[] = Array.isArray(node) ? node : [node];
  return entries.map((entry) => {
    if (typeof entry === 'string' || typeof entry === 'number' || typeof entry === 'boolean') return String(entry);
    throw new UsageError(`${path.join('.')} in ${file.path} is not a plain value`);
  });
}

/** Values of one command's options and of the global ones. */
export class Options {
  readonly #resolved: ReadonlyMap<string, ResolvedOption>;

  constructor(resolved: readonly ResolvedOption[]) {
    this.#resolved = new Map(resolved.map((option) => [option.spec.name, option]));
  }

  /** All options in order of definition. */
  all(): readonly ResolvedOption[] {
    return [...this.#resolved.values()];
  }

  /** Reports whether an option was given or has a default. */
  isSet(name: string): boolean {
    return this.#resolved.get(name)?.value !== undefined;
  }

  /** The origin of the value: see `ResolvedOption`. */
  origin(name: string): string {
    return this.#find(name).origin;
  }

  /** Value of an option that takes text; undefined when not given. */
  text(name: string): string | undefined {
    return this.#get(name, 'string');
  }

  /** Like `text`, for an option that some commands lack. */
  find(name: string): string | undefined {
    return this.#resolved.has(name) ? this.text(name) : undefined;
  }

  number(name: string): number | undefined {
    return this.#get(name, 'number');
  }

  flag(name: string): boolean {
    return this.#get<boolean>(name, 'boolean') ?? false;
  }

  /** The word given to a boolean option (`OptionSpec.words`); undefined when there is none. */
  word(name: string): string | undefined {
    const { value } = this.#find(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** Values of a repeatable option, in order. */
  list(name: string): readonly string[] {
    return this.#get<readonly string[]>(name, 'object') ?? [];
  }

  #get<T extends OptionValue>(name: string, type: string): T | undefined {
    const option = this.#find(name);
    if (option.value !== undefined && typeof option.value !== type)
      throw new TypeError(`option ${name} is not a ${type}`);
    return option.value as T | undefined;
  }

  #find(name: string): ResolvedOption {
    const option = this.#resolved.get(name);
    if (option === undefined) throw new TypeError(`no option ${name}`);
    return option;
  }
}
