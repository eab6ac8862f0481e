import {
  expandInstruction,
  instructionError,
  parseTrigger,
  type AddInstruction,
  type CopyInstruction,
  type Stage,
  type StageInstruction,
  type WorkdirInstruction,
} from '../../dockerfile/index.js';
import type { LoggedStep, StageState, StepLog } from '../build/index.js';
import { findUserOwner, makeDirectories, type BuildContext, type BuildSources } from '../build-context/index.js';
import type { BuiltLayer, StageFiles } from './stage-files.js';

/** What building a stage needs. */
export interface StageJob {
  readonly state: StageState;
  readonly files: StageFiles;
  readonly sources: BuildSources;
  readonly log: StepLog;
  readonly stageName: string;
  /** What FROM says, for messages. */
  readonly baseName: string;
  /** RFC 3339. */
  readonly created: string;
  readonly createdNs: bigint;
  readonly findSource: (from: string | undefined, instruction: StageInstruction) => Promise<BuildContext>;
  readonly onLayer: (layer: BuiltLayer) => void;
  readonly signal: AbortSignal;
}

/** Executes the instructions of a stage that has no RUN, triggers of its base first. Throws DockerfileError and what copying throws. */
export async function buildStage(stage: Stage, triggers: readonly string[], job: StageJob): Promise<void> {
  const all = [...triggers.map((text) => parseTrigger(text, { base: job.baseName })), ...stage.instructions];
  for (const [index, unexpanded] of all.entries()) {
    job.signal.throwIfAborted();
    const { state } = job;
    if (unexpanded.keyword === 'ARG') {
      state.remember(state.scope.declare(unexpanded), undefined);
      continue;
    }
    const instruction = expandInstruction(unexpanded, state.scope.environment);
    const begin = (): LoggedStep =>
      job.log.begin({ stage: job.stageName, number: index + 1, count: all.length, instruction });
    if (instruction.keyword === 'RUN') {
      throw instructionError(
        instruction,
        'RUN needs root and a store',
        'run the build as root, on a machine with btrfs',
      );
    }
    if (instruction.keyword === 'COPY' || instruction.keyword === 'ADD') await copy(job, instruction, begin());
    else {
      state.configure(instruction);
      if (instruction.keyword === 'WORKDIR' && state.workdir !== '/') await makeWorkdir(job, instruction, begin());
      else state.remember(instruction, undefined);
    }
  }
}

async function copy(job: StageJob, instruction: CopyInstruction | AddInstruction, log: LoggedStep): Promise<void> {
  const { state, files, sources, createdNs, signal } = job;
  const from = instruction.keyword === 'COPY' ? instruction.from : undefined;
  const context = await job.findSource(from, instruction);
  const selection = await sources.select({ instruction, context, workdir: state.workdir, signal });
  try {
    await layer(job, instruction, log, () => files.add((tree) => selection.writeTo({ tree, createdNs, signal })));
  } finally {
    await selection.close();
  }
}

async function makeWorkdir(job: StageJob, instruction: WorkdirInstruction, log: LoggedStep): Promise<void> {
  const { state, files, createdNs } = job;
  await layer(job, instruction, log, () =>
    files.add(async (tree) => {
      const owner = await findUserOwner(tree, state.config.User ?? '');
      makeDirectories(tree, state.workdir, { owner, createdNs });
    }),
  );
}

async function layer(
  { state, created, onLayer }: StageJob,
  instruction: StageInstruction,
  log: LoggedStep,
  make: () => Promise<BuiltLayer>,
): Promise<void> {
  log.run(undefined);
  try {
    const made = await make();
    onLayer(made);
    state.remember(instruction, created);
    log.done();
    log.packed(made.blob.size);
  } catch (error) {
    log.failed();
    throw error;
  }
}
