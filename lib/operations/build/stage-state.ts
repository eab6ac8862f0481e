import {
  applyInstruction,
  expandInstruction,
  HISTORY_COMMENT,
  historyText,
  isConfigInstruction,
  parseTrigger,
  resolveWorkdir,
  StageScope,
  type AddInstruction,
  type BuildInputs,
  type CopyInstruction,
  type Environment,
  type RunInstruction,
  type Stage,
  type StageInstruction,
  type WorkdirInstruction,
} from '../../dockerfile/index.js';
import type { ExecutionConfig, HistoryEntry, ImageConfig, Platform } from '../../spec/index.js';
import type { StageLayer, StepTree } from './types.js';

/** PATH for base images without one, as in BuildKit. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The starting point of a stage. */
export interface StageBase {
  /** The config document; undefined: FROM scratch. */
  readonly config: ImageConfig | undefined;
  readonly platform: Platform;
  readonly tree: StepTree | undefined;
  readonly layers: readonly StageLayer[];
  /** Parallel to the history of `config`. */
  readonly history: readonly StageHistory[];
  /** Scope of the stage, if the base is one. */
  readonly scope?: StageScope | undefined;
}

/** The base of FROM scratch. */
export function scratchBase(platform: Platform): StageBase {
  return { config: undefined, platform, tree: undefined, layers: [], history: [] };
}

/** A history entry; if it has a layer, its date is known after the step has run. */
export interface StageHistory {
  readonly entry: HistoryEntry;
  /** True for a step of this build: its date is that of the step, or of the one before. */
  readonly isNew: boolean;
}

/** A stage during its build: config, files and history so far. */
export class StageState {
  readonly scope: StageScope;
  readonly platform: Platform;
  /** The document from which the config is built. */
  readonly document: ImageConfig | undefined;
  config: ExecutionConfig;
  author: string | undefined;
  tree: StepTree | undefined;
  readonly layers: StageLayer[];
  readonly history: StageHistory[];
  #isCmdSet = false;

  constructor(base: StageBase, { inputs, globals }: { readonly inputs: BuildInputs; readonly globals: Environment }) {
    const execution = base.config?.config ?? { WorkingDir: '/' };
    const env = execution.Env ?? [];
    const hasPath = env.some((entry) => entry.startsWith('PATH='));
    const { OnBuild: _fired, ...config } = execution;
    this.scope = new StageScope({
      inputs,
      globals,
      env: hasPath ? env : [...env, `PATH=${DEFAULT_PATH}`],
      parent: base.scope,
    });
    this.config = { ...config, Env: this.scope.env };
    this.author = base.config?.author;
    this.document = base.config;
    this.platform = base.platform;
    this.tree = base.tree;
    this.layers = [...base.layers];
    this.history = [...base.history];
  }

  /** WORKDIR, absolute. */
  get workdir(): string {
    return resolveWorkdir(undefined, this.config.WorkingDir ?? '/');
  }

  /** Applies an expanded instruction that changes only the config, or WORKDIR; adds no history. */
  configure(instruction: StageInstruction): void {
    if (instruction.keyword === 'MAINTAINER') this.author = instruction.name;
    if (!isConfigInstruction(instruction)) return;
    if (instruction.keyword === 'ENV') {
      this.scope.setEnv(instruction.pairs);
      this.config = { ...this.config, Env: this.scope.env };
      return;
    }
    this.config = applyInstruction(this.config, instruction);
    if (instruction.keyword === 'CMD') {
      this.#isCmdSet = true;
      // As in BuildKit, the words are complete and no shell is prepended.
      this.config = { ...this.config, ...ARGS_ESCAPED };
    } else if (instruction.keyword === 'ENTRYPOINT') {
      const { Cmd, ...rest } = this.config;
      this.config = { ...rest, ...(this.#isCmdSet && Cmd !== undefined ? { Cmd } : {}) };
    }
  }

  /** Adds the history entry that BuildKit writes for an instruction. `created`: date of its layer; undefined without a layer. */
  remember(instruction: StageInstruction, created: string | undefined): void {
    const text = historyText(instruction, {
      shell: this.config.Shell,
      args: this.scope.args,
      workdir: this.workdir,
    });
    if (text === undefined) return;
    this.history.push({
      entry: {
        ...(created === undefined ? {} : { created }),
        created_by: text,
        comment: HISTORY_COMMENT,
        ...(created === undefined ? { empty_layer: true } : {}),
      },
      isNew: true,
    });
  }

  /** The stage as the base of another. */
  asBase(): StageBase {
    const document: ImageConfig = {
      ...(this.document ?? {
        architecture: this.platform.architecture,
        os: this.platform.os,
        ...(this.platform.variant === undefined ? {} : { variant: this.platform.variant }),
        rootfs: { type: 'layers', diff_ids: [] },
      }),
      ...(this.author === undefined ? {} : { author: this.author }),
      config: this.config,
    };
    const { platform, tree, layers, history, scope } = this;
    return { config: document, platform, tree, layers, history, scope };
  }
}

/** An instruction that creates a layer. */
export type LayerInstruction = AddInstruction | CopyInstruction | RunInstruction | WorkdirInstruction;

/** Position of an instruction in its stage, triggers of the base included. */
export interface InstructionPlace {
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/** Callbacks and inputs for executing a stage. */
export interface StageExecution {
  readonly state: StageState;
  /** Argument of FROM, for messages. */
  readonly baseName: string;
  /** `OnBuild` of the base. */
  readonly triggers: readonly string[];
  /** Runs an expanded instruction that creates a layer; WORKDIR has already changed the config. Resolves with the layer's date. */
  readonly step: (instruction: LayerInstruction, place: InstructionPlace) => Promise<string>;
  readonly signal: AbortSignal;
}

/** Executes the instructions of a stage in order, those that change only the config directly. Throws DockerfileError and the errors of `step`. */
export async function executeStage(stage: Stage, execution: StageExecution): Promise<void> {
  const { state, baseName: base, triggers, step, signal } = execution;
  const all = [...triggers.map((text) => parseTrigger(text, { base })), ...stage.instructions];
  for (const [index, unexpanded] of all.entries()) {
    signal.throwIfAborted();
    if (unexpanded.keyword === 'ARG') {
      state.remember(state.scope.declare(unexpanded), undefined);
      continue;
    }
    const instruction = expandInstruction(unexpanded, state.scope.environment);
    state.configure(instruction);
    const created = makesLayer(instruction, state)
      ? await step(instruction, { number: index + 1, count: all.length })
      : undefined;
    state.remember(instruction, created);
  }
}

function makesLayer(instruction: StageInstruction, state: StageState): instruction is LayerInstruction {
  const { keyword } = instruction;
  if (keyword === 'WORKDIR') return state.workdir !== '/';
  return keyword === 'RUN' || keyword === 'COPY' || keyword === 'ADD';
}

const ARGS_ESCAPED: object = { ArgsEscaped: true };
