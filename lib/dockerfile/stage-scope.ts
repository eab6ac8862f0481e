import type { ArgInstruction, KeyValue } from './instructions.js';
import { expand, type Environment, type Expansion } from './lexer.js';
import { inInstruction } from './problem.js';
import { isProxy, type BuildInputs } from './variables.js';

/** A declared ARG and its value. */
export type ArgValue = readonly [name: string, value: string];

/** Initial state of a stage's scope. */
export interface StageScopeOptions {
  readonly inputs: BuildInputs;
  /** The result of `globalVariables`. */
  readonly globals: Environment;
  /** `K=V` entries of the base's config. */
  readonly env: readonly string[];
  /** The final scope of the base stage, whose ARGs are inherited. */
  readonly parent?: StageScope | undefined;
}

/**
 * The variables of one stage during its build; ARG and ENV add to it in file order. Between an ARG and an ENV with the
 * same name, the later one wins, even against an ENV of the base; the config keeps the ENV.
 */
export class StageScope {
  readonly #inputs: BuildInputs;
  readonly #globals: Environment;
  readonly #environment = new Map<string, string>();
  readonly #env = new Map<string, string>();
  /** Declared ARGs in order, with and without a value. */
  readonly #declared = new Map<string, string | undefined>();

  constructor({ inputs, globals, env, parent }: StageScopeOptions) {
    this.#inputs = inputs;
    this.#globals = globals;
    this.setEnv(env.map((entry) => splitEntry(entry)));
    if (parent === undefined) return;
    for (const [name, value] of parent.#environment) this.#environment.set(name, value);
    for (const [name, value] of parent.#declared) this.#declared.set(name, value);
  }

  /** The variables for expansion, and the environment of RUN except for `proxies`. */
  get environment(): Environment {
    return this.#environment;
  }

  /** `K=V` entries for the config, from the base and ENV. */
  get env(): readonly string[] {
    return [...this.#env].map(([key, value]) => `${key}=${value}`);
  }

  /** The declared ARGs in order, as in RUN's history and cache key; empty without a value. */
  get args(): readonly ArgValue[] {
    return [...this.#declared].map(([name, value]) => [name, this.#environment.get(name) ?? value ?? '']);
  }

  /** Proxies given as undeclared build args: only for RUN's environment, not for history and cache key. */
  get proxies(): readonly ArgValue[] {
    return [...this.#inputs.buildArgs].filter(([name]) => isProxy(name) && !this.#declared.has(name));
  }

  /**
   * Applies an ARG and returns it with each variable's value, for the history. A build arg wins over the default, and
   * the default over the global value. Throws DockerfileError.
   */
  declare(instruction: ArgInstruction, onWord?: (expansion: Expansion) => void): ArgInstruction {
    const { escape } = instruction;
    const args = instruction.args.map(({ name, value }) => {
      const given = this.#inputs.buildArgs.get(name);
      const result =
        given ??
        (value === undefined
          ? this.#globals.get(name)
          : inInstruction(instruction, () => {
              const expansion = expand(value, this.#environment, { escape });
              onWord?.(expansion);
              return expansion.text;
            }));
      this.#declared.set(name, result);
      if (result !== undefined) this.#environment.set(name, result);
      return result === undefined ? { name } : { name, value: result };
    });
    return { ...instruction, args };
  }

  /** Applies the expanded pairs of an ENV. */
  setEnv(pairs: readonly KeyValue[]): void {
    for (const { key, value } of pairs) {
      this.#env.set(key, value);
      this.#environment.set(key, value);
    }
  }
}

function splitEntry(entry: string): KeyValue {
  const equals = entry.indexOf('=');
  return equals < 0 ? { key: entry, value: '' } : { key: entry.slice(0, equals), value: entry.slice(equals + 1) };
}
