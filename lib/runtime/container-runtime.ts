import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { ContainerStartError } from '../errors.js';
import { makeDirectory, writeFileAtomic, namesIn } from '../util/index.js';
import { checkCommand } from './check-command.js';
import { checkMachine } from './check-machine.js';
import { containerSpec, type SpecMount } from './container-spec.js';
import { killLeftProcesses } from './end-container.js';
import { findUser } from './find-user.js';
import { removeMemoryFiles, writeMemoryFiles } from './memory-files.js';
import { makeMountPoints, readMountJournal, removeMountPoints } from './mount-points.js';
import { placeMounts } from './place-mounts.js';
import { planMounts } from './plan-mounts.js';
import { checkRegular } from './read-in-root.js';
import { deleteContainer, findRuntime, runContainer, type RuntimePlace } from './runtime-program.js';
import type { ContainerRuntime, RunInput } from './types.js';

export interface RuntimeOptions {
  /** A directory of the store for the files of runs; created if missing. */
  readonly directory: string;
  /** Receives one line for each deviation from normal operation. */
  readonly onNote: (line: string) => void;
}

/** The record of a run, stored beside the runtime's own files. */
interface RunRecord {
  readonly remove: boolean;
  /** Undefined until the runtime is chosen. */
  readonly program?: string;
}

const JOURNAL = 'mount-points';
const RECORD = 'run.json';

/** A container runtime based on crun or runc. Each run has a directory, which is removed last. */
export function createContainerRuntime({ directory, onNote }: RuntimeOptions): ContainerRuntime {
  const runDirectory = (id: string): string => join(directory, id);
  const journalOf = (id: string): string => join(runDirectory(id), JOURNAL);
  const writeRecord = (id: string, record: RunRecord): Promise<void> =>
    writeFileAtomic(join(runDirectory(id), RECORD), JSON.stringify(record));

  const start = async (input: RunInput, place: RuntimePlace): Promise<number> => {
    const cwd = posix.resolve('/', input.workdir ?? input.execution.WorkingDir ?? '/');
    const hostname = input.hostname ?? input.id.slice(0, 12);
    const user = findUser(input.rootfs, input.user ?? input.execution.User ?? '');
    for (const path of ['/etc/passwd', '/etc/group']) checkRegular(input.rootfs, path);
    const files = writeMemoryFiles(input.id, input.memoryFiles ?? []);
    const all = { ...input, volumes: [...input.volumes, ...files] };
    const { mounts, points } = planMounts(all, { directory: place.directory, hostname, cwd });
    const attempt = async (use: boolean, placed: readonly SpecMount[]): Promise<number> => {
      const spec = containerSpec(input, { user, mounts: placed, cwd, hostname, cgroups: use });
      await writeFile(join(place.directory, 'config.json'), JSON.stringify(spec));
      return runContainer(place, { cgroups: { use }, takeSignals: input.takeSignals, onOutput: input.onOutput });
    };
    const { process } = containerSpec({ ...input, init: false }, { user, mounts, cwd, hostname, cgroups: true });
    const check = (volumes: readonly string[]): void => checkCommand(input.rootfs, { ...process, user, volumes });
    // Without volumes, the check runs before anything is created in the container's files.
    if (all.volumes.length === 0) check([]);
    const places = makeMountPoints(input.rootfs, points, join(place.directory, JOURNAL));
    const placed = placeMounts(mounts, places);
    if (all.volumes.length > 0) check(placed.flatMap(({ type, destination }) => (type === 'bind' ? destination : [])));
    // A kernel link in /proc could lead out of the container (CVE-2024-21626).
    if ((places.get(cwd) ?? cwd).startsWith('/proc/')) {
      throw new ContainerStartError(`the working directory ${cwd} is in /proc`, {
        hint: 'choose another one with --workdir',
      });
    }
    input.signal.throwIfAborted();
    try {
      return await attempt(true, placed);
    } catch (error) {
      if (!(error instanceof ContainerStartError) || error.exitCode !== 125) throw error;
      if (Object.values(input.limits).some((limit) => limit !== undefined)) throw limitError(error);
      const code = await attempt(false, placed);
      onNote(`cannot create a control group for the container: ${error.message}`);
      return code;
    }
  };

  const clear = async (id: string, rootfs: string): Promise<void> => {
    const journal = readMountJournal(journalOf(id));
    if (journal !== undefined && existsSync(rootfs)) removeMountPoints(rootfs, journal);
    removeMemoryFiles(id);
    await rm(runDirectory(id), { recursive: true, force: true });
  };

  return {
    async begin(id, { remove }) {
      makeDirectory(runDirectory(id));
      await writeRecord(id, { remove });
    },
    async run(input) {
      const { id, rootfs } = input;
      try {
        checkMachine();
        const place = { program: findRuntime(input.program), id, rootfs, directory: runDirectory(id) };
        await writeRecord(id, { ...(await readRecord(runDirectory(id))), program: place.program });
        return await start(input, place);
      } finally {
        // A failure here must not hide the command's exit code: the caller's `settle` tries again and reports it.
        await clear(id, rootfs).catch(() => undefined);
      }
    },
    kill: killLeftProcesses,
    findUser: (rootfs, user) => Promise.resolve(findUser(rootfs, user)),
    async settle(id, rootfs) {
      if (!existsSync(runDirectory(id))) return false;
      const { remove, program: used } = await readRecord(runDirectory(id));
      if (used !== undefined) {
        await deleteContainer({ program: used, id, rootfs, directory: runDirectory(id) });
      }
      try {
        await clear(id, rootfs);
      } catch (error) {
        // A command can make its files read-only. Nothing else depends on this step, and the journal stays for the next attempt.
        const reason = (error as Error).message;
        onNote(`container ${id.slice(0, 12)}: cannot remove the mount points of its run yet: ${reason}`);
      }
      return remove;
    },
    list: () => namesIn(directory),
    mountPoints: (id) => Promise.resolve(readMountJournal(journalOf(id))),
    removeMountPoints(copy, journal) {
      removeMountPoints(copy, journal);
      return Promise.resolve();
    },
  };
}

function limitError(cause: ContainerStartError): ContainerStartError {
  return new ContainerStartError(`cannot limit the resources of the container: ${cause.message}`, {
    hint: 'run without --memory, --pids-limit and --cpus, or on a machine with control groups',
    cause,
  });
}

/** A record truncated by a crash counts as absent: nothing was started. */
async function readRecord(directory: string): Promise<RunRecord> {
  try {
    return JSON.parse(await readFile(join(directory, RECORD), 'utf8')) as RunRecord;
  } catch {
    return { remove: false };
  }
}
