import {
  expandInstruction,
  parseTrigger,
  type AddInstruction,
  type CopyInstruction,
  type RunInstruction,
  type Stage,
  type StageInstruction,
  type WorkdirInstruction,
} from '../../dockerfile/index.js';
import type { StageState } from '../build/index.js';

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
