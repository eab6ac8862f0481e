import { DockerfileError } from '../errors.js';
import type { Dockerfile, Instruction, Stage, StageInstruction } from './instructions.js';
import { expandInstruction } from './expand-instruction.js';
import type { Environment } from './lexer.js';
import { mountFrom } from './mounts.js';
import { inInstruction, instructionError, suggestion } from './problem.js';

/** The base of a stage, or the source of files for COPY, ADD and mounts. */
export type StageSource =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  /** A `--build-context` by name. */
  | { readonly kind: 'context'; readonly name: string }
  | { readonly kind: 'image'; readonly reference: string };

/** A stage with an expanded FROM. */
export interface ResolvedStage {
  readonly stage: Stage;
  readonly base: StageSource;
  /** Value of `--platform`, expanded. */
  readonly platform: string | undefined;
  /** Indexes of its direct dependencies: its base, `COPY --from`, mounts, triggers of its base; ascending. */
  readonly needs: readonly number[];
}

export interface StageGraphOptions {
  /** The result of `globalVariables`. */
  readonly globals: Environment;
  /** Names of `--build-context`; they take precedence over images and stages. */
  readonly contexts?: ReadonlySet<string> | undefined;
}

/** The stages of a Dockerfile and their dependencies. */
export class StageGraph {
  readonly stages: readonly ResolvedStage[];
  readonly #dockerfile: Dockerfile;
  readonly #contexts: ReadonlySet<string>;

  /** Throws DockerfileError for an empty base or a stage used before its definition. */
  constructor(dockerfile: Dockerfile, { globals, contexts = new Set() }: StageGraphOptions) {
    this.#dockerfile = dockerfile;
    this.#contexts = contexts;
    const resolved: ResolvedStage[] = [];
    for (const stage of dockerfile.stages) resolved.push(this.#resolve(stage, globals, resolved));
    this.stages = resolved;
  }

  /** The stage with the name or number of `--target`; the last one if undefined. Throws DockerfileError. */
  target(name?: string): ResolvedStage {
    if (name === undefined) return this.stages.at(-1)!;
    const found = this.#named(name, this.stages.length) ?? this.#numbered(name, this.stages.length);
    if (found !== undefined) return this.stages[found.index]!;
    const { file, stages } = this.#dockerfile;
    const names = stages.flatMap((stage) => stage.name ?? []);
    throw new DockerfileError(`there is no stage ${JSON.stringify(name)}`, {
      file,
      hint: suggestion(name, names) ?? (names.length === 0 ? undefined : `stages: ${names.join(', ')}`),
    });
  }

  /** All stages that `target` needs, dependencies first and `target` last. */
  needed(target: ResolvedStage): ResolvedStage[] {
    const indexes = new Set<number>();
    const queue = [target.stage.index];
    for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
      if (indexes.has(index)) continue;
      indexes.add(index);
      queue.push(...this.stages[index]!.needs);
    }
    // A stage depends only on earlier ones.
    return [...indexes].sort((a, b) => a - b).map((index) => this.stages[index]!);
  }

  /**
   * Resolves `from` in an instruction of `stage` or in its triggers: a build context, an earlier stage by name or (for
   * COPY) number, else an image. Throws DockerfileError for a later stage.
   */
  source(from: string, stage: Stage, instruction: Instruction): StageSource {
    const isContext = this.#contexts.has(from);
    if (isContext) return { kind: 'context', name: from };
    const byNumber = instruction.keyword === 'COPY' && /^\d+$/.test(from);
    const earlier = byNumber ? this.#numbered(from, stage.index) : this.#named(from, stage.index);
    if (earlier !== undefined) return this.#stageSource(earlier);
    const count = this.#dockerfile.stages.length;
    const later = byNumber ? this.#numbered(from, count) : this.#named(from, count);
    if (later !== undefined)
      throw instructionError(
        instruction,
        later.index === stage.index
          ? `stage ${JSON.stringify(from)} cannot copy from itself`
          : `stage ${JSON.stringify(from)} needs to be defined before it is used`,
        later.index === stage.index ? undefined : 'move that stage up',
      );
    if (byNumber)
      throw instructionError(instruction, `there is no stage ${from}`, `stages count from 0 to ${count - 1}`);
    return from === 'scratch' ? { kind: 'scratch' } : { kind: 'image', reference: from };
  }

  #resolve(stage: Stage, globals: Environment, before: readonly ResolvedStage[]): ResolvedStage {
    const { base: reference, platform } = expandInstruction(stage.from, globals);
    if (reference === '')
      throw instructionError(
        stage.from,
        `the base ${stage.from.base} is empty`,
        'give the ARG a default, or a --build-arg',
      );
    if (platform === '') throw instructionError(stage.from, `the platform ${stage.from.platform} is empty`);
    const base = this.#base(reference, stage.index);
    const needs = new Set(base.kind === 'stage' ? [base.index] : []);
    const triggers =
      base.kind === 'stage'
        ? before[base.index]!.stage.instructions.flatMap((instruction) =>
            instruction.keyword === 'ONBUILD' ? instruction.instruction : [],
          )
        : [];
    for (const source of [...triggers, ...stage.instructions].flatMap((instruction) =>
      this.#sources(instruction, stage),
    ))
      if (source.kind === 'stage') needs.add(source.index);
    return { stage, base, platform, needs: [...needs].sort((a, b) => a - b) };
  }

  #base(reference: string, before: number): StageSource {
    if (this.#contexts.has(reference)) return { kind: 'context', name: reference };
    const stage = this.#named(reference, before);
    if (stage !== undefined) return this.#stageSource(stage);
    return reference === 'scratch' ? { kind: 'scratch' } : { kind: 'image', reference };
  }

  /** A context with a stage's name replaces the stage. */
  #stageSource({ name, index }: Stage): StageSource {
    return name !== undefined && this.#contexts.has(name) ? { kind: 'context', name } : { kind: 'stage', index };
  }

  /** The sources of an instruction besides the context. */
  #sources(instruction: StageInstruction, stage: Stage): StageSource[] {
    if (instruction.keyword === 'COPY')
      return instruction.from === undefined ? [] : [this.source(instruction.from, stage, instruction)];
    if (instruction.keyword !== 'RUN') return [];
    return inInstruction(instruction, () => instruction.mounts.map(mountFrom))
      .filter((from) => from !== undefined)
      .map((from) => this.source(from, stage, instruction));
  }

  /** The last stage with that name and an index below `before`. */
  #named(name: string, before: number): Stage | undefined {
    return this.#dockerfile.stages.findLast((stage) => stage.name === name.toLowerCase() && stage.index < before);
  }

  #numbered(text: string, before: number): Stage | undefined {
    return /^\d+$/.test(text) && Number(text) < before ? this.#dockerfile.stages[Number(text)] : undefined;
  }
}
