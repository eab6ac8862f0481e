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

/** PATH of images whose base has none, as BuildKit sets it. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a stage begins with. */
export interface StageBase {
  /** The config document; undefined: FROM scratch. */
  readonly config: ImageConfig | undefined;
  readonly platform: Platform;
  readonly tree: StepTree | undefined;
  readonly layers: readonly StageLayer[];
  /** Parallel to the history of `config`. */
  readonly history: readonly StageHistory[];
  /** Scope of the stage that it is. */
  readonly scope?: StageScope | undefined;
}

/** FROM scratch. */
export function scratchBase(platform: Platform): StageBase {
  return { config: undefined, platform, tree: undefined, layers: [], history: [] };
}

/** A history entry; the date of one with a layer is known when the step was run. */
export interface StageHistory {
  readonly entry: HistoryEntry;
  /** Whether a step of this build made it: its date is that of the step, or of the one before. */
  readonly isNew: boolean;
}

/** A stage while it is built: what its instructions have made of config, files and history. */
export class StageState {
  readonly scope: StageScope;
  readonly platform: Platform;
  /** The document that the config is made from. */
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

  /** Takes an expanded instruction that changes the config only, WORKDIR included; adds no history. */
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
      // As BuildKit: the words are complete, no shell is put before them.
      this.config = { ...this.config, ...ARGS_ESCAPED };
    } else if (instruction.keyword === 'ENTRYPOINT') {
      const { Cmd, ...rest } = this.config;
      this.config = { ...rest, ...(this.#isCmdSet && Cmd !== undefined ? { Cmd } : {}) };
    }
  }

  /** Adds the entry that BuildKit writes for an instruction. `created`: when its layer was made; undefined: it has none. */
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

  /** The stage as the base of another one. */
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

/** An instruction that makes a layer. */
export type LayerInstruction = AddInstruction | CopyInstruction | RunInstruction | WorkdirInstruction;

/** Where an instruction is in its stage: triggers of the base count. */
export interface InstructionPlace {
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/** How the instructions of a stage are executed. */
export interface StageExecution {
  readonly state: StageState;
  /** What FROM says, for messages. */
  readonly baseName: string;
  /** `OnBuild` of the base. */
  readonly triggers: readonly string[];
  /** Takes an instruction that makes a layer, expanded; WORKDIR has changed the config by then. The date of the layer. */
  readonly step: (instruction: LayerInstruction, place: InstructionPlace) => Promise<string>;
  readonly signal: AbortSignal;
}

/** Goes through the instructions of a stage: those that change the config only are done here. Throws DockerfileError, what `step` throws. */
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
