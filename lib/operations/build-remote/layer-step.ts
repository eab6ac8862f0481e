import { instructionError, type StageInstruction } from '../../dockerfile/index.js';
import type { InstructionPlace, LayerInstruction, StageState, StepLog } from '../build/index.js';
import { findUserOwner, makeDirectories, type BuildContext, type BuildSources } from '../build-context/index.js';
import type { BuiltLayer, StageFiles } from './stage-files.js';

/** Inputs for building the layer of an instruction. */
export interface LayerJob {
  readonly state: StageState;
  readonly files: StageFiles;
  readonly sources: BuildSources;
  readonly log: StepLog;
  readonly stageName: string;
  /** In ns since 1970. */
  readonly createdNs: bigint;
  readonly findSource: (from: string | undefined, instruction: StageInstruction) => Promise<BuildContext>;
  readonly signal: AbortSignal;
}

/** Builds the layer of a COPY, ADD or WORKDIR. Throws DockerfileError (also for RUN) and the errors of copying. */
export async function makeLayer(
  job: LayerJob,
  instruction: LayerInstruction,
  place: InstructionPlace,
): Promise<BuiltLayer> {
  const log = job.log.begin({ stage: job.stageName, ...place, instruction });
  log.run(undefined);
  try {
    const layer = await layerOf(job, instruction);
    log.done();
    log.packed(layer.blob.size);
    return layer;
  } catch (error) {
    log.failed();
    throw error;
  }
}

async function layerOf(job: LayerJob, instruction: LayerInstruction): Promise<BuiltLayer> {
  const { state, files, sources, createdNs, signal } = job;
  if (instruction.keyword === 'RUN') {
    throw instructionError(instruction, 'RUN needs root and a store', 'run the build as root, on a machine with btrfs');
  }
  if (instruction.keyword === 'WORKDIR') {
    return files.add(async (tree) => {
      const owner = await findUserOwner(tree, state.config.User ?? '');
      makeDirectories(tree, state.workdir, { owner, createdNs });
    });
  }
  const from = instruction.keyword === 'COPY' ? instruction.from : undefined;
  const context = await job.findSource(from, instruction);
  const selection = await sources.select({ instruction, context, workdir: state.workdir, signal });
  try {
    return await files.add((tree) => selection.writeTo({ tree, createdNs, signal }));
  } finally {
    await selection.close();
  }
}
