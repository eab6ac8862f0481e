import {
  instructionError,
  runScript,
  type AddInstruction,
  type CopyInstruction,
  type ResolvedStage,
  type RunInstruction,
  type StageInstruction,
  type WorkdirInstruction,
} from '../../dockerfile/index.js';
import type { StepRecord } from '../../metadata/index.js';
import { thenCloseAll } from '../../util/index.js';
import type { BuildSources } from '../build-context/index.js';
import type { OperationDeps } from '../deps.js';
import { runCommand } from './run-command.js';
import { planMounts, type MountSource } from './run-mounts.js';
import { runStep, type KeepStep, type StepDeps } from './run-step.js';
import { executeStage, type InstructionPlace, type LayerInstruction, type StageState } from './stage-state.js';
import { stepKey, treeOf } from './step-cache.js';
import type { LoggedStep, StepLog } from './step-log.js';
import type { BuildRequest, ImportedStep, StageLayer, StepKey, StepTree } from './types.js';

export interface StageContext extends StepDeps {
  readonly deps: Pick<OperationDeps, 'metadata' | 'snapshots' | 'runtime' | 'rootfs' | 'progress'>;
  readonly request: BuildRequest;
  readonly sources: BuildSources;
  readonly log: StepLog;
  /** Resolves `--from` or `from=` of an instruction; undefined means the build context. */
  readonly findSource: (from: string | undefined, instruction: StageInstruction) => Promise<MountSource>;
  /** Called after each step with the layers so far, so that the target's are packed while other steps run. */
  readonly onLayer: (layers: readonly StageLayer[], log: LoggedStep) => void;
  /** Keeps the files of a failed RUN, those of `container`, on the stage's layers so far. Resolves with true if it did. */
  readonly onFailure: ((state: StageState, container: string) => Promise<boolean>) | undefined;
}

/** Executes the instructions of a stage, its base's triggers first. Throws DockerfileError, BuildStepError and the errors of steps. */
export async function buildStage(
  context: StageContext,
  { stage }: ResolvedStage,
  state: StageState,
  triggers: readonly string[],
): Promise<void> {
  const { name, index, from } = stage;
  const { noCache, signal } = context.request;
  const useCache = typeof noCache === 'boolean' ? !noCache : !noCache.includes(name ?? String(index));
  const stageName = name ?? `stage-${index}`;
  await executeStage(stage, {
    ...{ state, baseName: from.base, triggers, signal },
    step: (instruction, place) =>
      new StepRun(context, state, { ...place, stageName, stageIndex: index, useCache }).execute(instruction),
  });
}

/** A step to run. */
interface StepToRun<R extends StepRecord | undefined> {
  readonly log: LoggedStep;
  readonly key: StepKey;
  readonly perform: (workKey: string, keep: KeepStep) => Promise<R>;
}

interface StepOptions extends InstructionPlace {
  readonly stageName: string;
  readonly stageIndex: number;
  readonly useCache: boolean;
}

/** Finds or creates the files of one instruction; `execute` resolves with their date. */
class StepRun {
  readonly #context: StageContext;
  readonly #state: StageState;
  readonly #options: StepOptions;
  #log: LoggedStep | undefined;

  constructor(context: StageContext, state: StageState, options: StepOptions) {
    this.#context = context;
    this.#state = state;
    this.#options = options;
  }

  async execute(instruction: LayerInstruction): Promise<string> {
    const { stageIndex, number } = this.#options;
    const imported = this.#context.request.importStep?.(stageIndex, number);
    return (imported && (await this.#import(instruction, imported))) ?? this.#make(instruction);
  }

  #make(instruction: LayerInstruction): Promise<string> {
    switch (instruction.keyword) {
      case 'RUN':
        return this.#run(instruction);
      case 'COPY':
      case 'ADD':
        return this.#copy(instruction);
      case 'WORKDIR':
        return this.#workdir(instruction);
    }
  }

  #import(instruction: LayerInstruction, { key, write }: ImportedStep): Promise<string | undefined> {
    const { deps } = this.#context;
    const { tree: below } = this.#state;
    return this.#step({
      log: this.#begin(instruction),
      key: this.#key(below, [{ name: 'imported', value: key }]),
      perform: async (workKey, keep) =>
        (await write(await deps.snapshots.prepare(workKey, below?.subvolume))) ? keep(0) : undefined,
    });
  }

  async #run(instruction: RunInstruction): Promise<string> {
    const { deps, request, sources, findSource, onFailure } = this.#context;
    const state = this.#state;
    if (instruction.security === 'insecure')
      throw instructionError(instruction, '--security=insecure is not supported', 'leave it out');
    if (instruction.devices.length > 0)
      throw instructionError(instruction, '--device is not supported', 'leave it out');
    const { scope, workdir, tree: below } = state;
    const script = runScript(instruction, state.config.Shell);
    const mounts = await planMounts(
      { deps, request, sources, findSource: (from) => findSource(from, instruction) },
      instruction,
      { environment: scope.environment, workdir },
    );
    const network = networkOf(instruction, request);
    const user = state.config.User ?? '';
    const variables = [...scope.environment].map(([name, value]) => `${name}=${value}`);
    const log = this.#begin(instruction);
    return this.#step({
      log,
      key: this.#key(below, runParts(instruction, { state, request, mounts: mounts.key })),
      perform: async (workKey, keep) => {
        const open = await mounts.open();
        log.hide(open.secrets);
        const run = (): Promise<StepRecord> => {
          const { volumes, tmpfs } = open;
          const { file } = script;
          const memoryFiles =
            file === undefined
              ? open.memoryFiles
              : [
                  ...open.memoryFiles,
                  { target: file.path, content: Buffer.from(file.text), mode: 0o755, uid: 0, gid: 0 },
                ];
          const proxies = scope.proxies.map(([name, value]) => `${name}=${value}`);
          return runCommand(
            deps,
            {
              ...{ instruction, below, workKey, argv: script.argv, workdir, user, network },
              env: [...proxies, ...variables, ...open.env],
              mounts: { volumes, memoryFiles, tmpfs },
            },
            {
              request,
              log,
              onFrozen: keep,
              onFailure: onFailure === undefined ? undefined : (id) => onFailure(state, id),
            },
          );
        };
        return thenCloseAll(run, [() => open.release()]);
      },
    });
  }

  async #copy(instruction: CopyInstruction | AddInstruction): Promise<string> {
    const { deps, request, sources, findSource } = this.#context;
    const { workdir, tree: below } = this.#state;
    const { signal } = request;
    const from = instruction.keyword === 'COPY' ? instruction.from : undefined;
    const { context } = await findSource(from, instruction);
    const selection = await sources.select({ instruction, context, workdir, signal });
    const step = async (): Promise<string> => {
      const log = this.#begin(instruction);
      return this.#step({
        log,
        key: this.#key(below, [
          { name: 'instruction', value: copyText(instruction, workdir) },
          { name: 'files', value: await selection.digest() },
        ]),
        perform: async (workKey, keep) => {
          const directory = await deps.snapshots.prepare(workKey, below?.subvolume);
          await sources.write(selection, directory, { createdNs: this.#nowNs(), signal });
          return keep(0);
        },
      });
    };
    return thenCloseAll(step, [() => selection.close()]);
  }

  #workdir(instruction: WorkdirInstruction): Promise<string> {
    const { deps } = this.#context;
    const { workdir, tree: below, config } = this.#state;
    const user = config.User ?? '';
    const log = this.#begin(instruction);
    return this.#step({
      log,
      key: this.#key(below, [
        { name: 'workdir', value: workdir },
        { name: 'user', value: user },
      ]),
      perform: async (workKey, keep) => {
        const directory = await deps.snapshots.prepare(workKey, below?.subvolume);
        const { uid, gid } = await deps.runtime.findUser(directory, user);
        await deps.rootfs.makeDirectories(directory, workdir, { mode: 0o755, uid, gid, mtimeNs: this.#nowNs() });
        return keep(0);
      },
    });
  }

  #begin(instruction: LayerInstruction): LoggedStep {
    const { stageName: stage, number, count } = this.#options;
    // A step that could not be imported continues under the same log entry.
    return (this.#log ??= this.#context.log.begin({ stage, number, count, instruction }));
  }

  /** Resolves with the step's date, or with undefined if `perform` gave up. */
  async #step<R extends StepRecord | undefined>({
    log,
    key,
    perform,
  }: StepToRun<R>): Promise<string | Exclude<R, StepRecord>> {
    const state = this.#state;
    const { stageName, number, useCache } = this.#options;
    const below = state.tree;
    const place = `${this.#context.request.origin} ${stageName} ${number}`;
    const record = await runStep(this.#context, { stepKey: key, below, place }, { log, useCache, perform });
    if (record === undefined) return record as Exclude<R, StepRecord>;
    state.tree = treeOf(record);
    state.layers.push({ kind: 'step', tree: state.tree, below, created: record.created });
    this.#context.onLayer([...state.layers], log);
    return record.created;
  }

  /** SOURCE_DATE_EPOCH changes file times, so it is part of the key. */
  #key(below: StepTree | undefined, parts: Parameters<typeof stepKey>[0]): StepKey {
    const { sourceDateEpoch } = this.#context.request;
    const parent = { name: 'parent', value: below?.key ?? 'scratch' };
    return stepKey([parent, { name: 'epoch', value: sourceDateEpoch?.toString() }, ...parts]);
  }

  #nowNs(): bigint {
    const { sourceDateEpoch } = this.#context.request;
    return (
      BigInt(sourceDateEpoch === undefined ? Date.now() : Math.min(Date.now(), sourceDateEpoch * 1000)) * 1_000_000n
    );
  }
}

/** The parts of a COPY or ADD, besides its files, that determine the result. */
export function copyText(instruction: CopyInstruction | AddInstruction, workdir: string): string {
  const { keyword, sources, destination, chown, chmod, link, excludes, heredocs } = instruction;
  const options =
    instruction.keyword === 'COPY'
      ? [instruction.parents]
      : [instruction.checksum ?? null, instruction.keepGitDir, instruction.unpack ?? null];
  const names = heredocs.map(({ name }) => name);
  return JSON.stringify([
    keyword,
    sources,
    names,
    destination,
    workdir,
    chown ?? null,
    chmod ?? null,
    link,
    excludes,
    options,
  ]);
}

/** The parts of a RUN, besides the files below it, that determine the result. `mounts`: the key of its mounts. */
export function runParts(
  instruction: RunInstruction,
  {
    state: { scope, workdir, config },
    request,
    mounts,
  }: {
    readonly state: StageState;
    readonly request: Pick<BuildRequest, 'network' | 'addHosts' | 'processLimits' | 'shmSize'>;
    readonly mounts: string | undefined;
  },
): Parameters<typeof stepKey>[0] {
  const script = runScript(instruction, config.Shell);
  return [
    { name: 'command', value: JSON.stringify(script.argv) },
    { name: 'script', value: script.file?.text },
    ...[...scope.environment].map(([name, value]) => ({ name: `env ${name}`, value, secret: true })),
    { name: 'workdir', value: workdir },
    { name: 'user', value: config.User ?? '' },
    { name: 'network', value: networkOf(instruction, request) },
    { name: 'mounts', value: mounts },
    { name: 'hosts', value: listed(request.addHosts) },
    { name: 'limits', value: listed(request.processLimits) },
    { name: 'shm-size', value: request.shmSize?.toString() },
  ];
}

function networkOf({ network }: RunInstruction, request: Pick<BuildRequest, 'network'>): BuildRequest['network'] {
  return network === 'default' ? request.network : network;
}

function listed(values: readonly unknown[]): string | undefined {
  return values.length === 0 ? undefined : JSON.stringify(values);
}
