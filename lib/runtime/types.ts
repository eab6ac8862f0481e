import type { ExecutionConfig } from '../spec/index.js';
import type { MountJournal } from './mount-points.js';

/** A directory or file of this machine to mount in a container. */
export interface VolumeMount {
  /** Absolute path on this machine. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** An in-memory file system. */
export interface TmpfsMount {
  /** Absolute path in the container. */
  readonly target: string;
  /** For mount(8): `size=64m`, `mode=1777`, `exec`. */
  readonly options: readonly string[];
}

/** Resource limits of a container. A limit that cannot be set is a ContainerStartError. */
interface ResourceLimits {
  /** Bytes. */
  readonly memory?: number | undefined;
  /** Number of processes and threads. */
  readonly pids?: number | undefined;
  /** Number of processors, such as 1.5. */
  readonly cpus?: number | undefined;
}

/** A limit of setrlimit(2). */
interface ProcessLimit {
  /** `RLIMIT_NOFILE`. */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

/** Redirects this program's signals to `handler` until the returned function is called. */
export type TakeSignals = (handler: (signal: NodeJS.Signals) => void) => () => void;

/** A file that exists in a container only while its command runs. Its bytes are never written to a disk. */
export interface MemoryFile {
  /** Absolute path in the container. */
  readonly target: string;
  readonly content: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A command to run in a container. */
export interface RunInput {
  /** ID of the container: 64 hex digits. */
  readonly id: string;
  /** Directory of the container's files. */
  readonly rootfs: string;
  /** The image's configuration for running it. */
  readonly execution: ExecutionConfig;
  /** Replaces the image's `Entrypoint`; empty: none. */
  readonly entrypoint?: readonly string[] | undefined;
  /** Replaces the image's `Cmd` unless empty. */
  readonly command: readonly string[];
  /** `NAME=value`, or `NAME` for its value in this process. Overrides variables of the image. */
  readonly env: readonly string[];
  readonly workdir?: string | undefined;
  /** `USER[:GROUP]`, names or numbers. */
  readonly user?: string | undefined;
  readonly volumes: readonly VolumeMount[];
  readonly tmpfs: readonly TmpfsMount[];
  readonly memoryFiles?: readonly MemoryFile[] | undefined;
  /** Makes the container's own files read-only; volumes and tmpfs stay writable. */
  readonly readOnly: boolean;
  /** Default: the first 12 digits of the ID. */
  readonly hostname?: string | undefined;
  /** Additional lines for /etc/hosts. */
  readonly addHosts: readonly { readonly name: string; readonly address: string }[];
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  /** All capabilities and devices, no filter of system calls, and nothing of /proc and /sys hidden. */
  readonly privileged: boolean;
  readonly limits: ResourceLimits;
  readonly processLimits: readonly ProcessLimit[];
  /** Size of /dev/shm in bytes; default: 64 MiB. */
  readonly shmSize?: number | undefined;
  /** Run the command under a small init that forwards signals and reaps processes. */
  readonly init: boolean;
  /** Name or path of the OCI runtime; default: crun or runc. */
  readonly program?: string | undefined;
  /** `host`: the network of this machine; `none`: only a loopback device. */
  readonly network: 'host' | 'none';
  /** The filter of system calls: undefined for docker's default, a profile (JSON) in docker's format, or none. */
  readonly seccomp?: { readonly profile: string } | 'unconfined' | undefined;
  /** Standard input and output are a terminal. */
  readonly terminal: boolean;
  /** Receives the command's output instead of this process's streams; standard input is then empty. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
  /** Passes on signals while the command runs. */
  readonly takeSignals: TakeSignals;
  /** Aborts the preparations before the command starts. */
  readonly signal: AbortSignal;
}

/**
 * Runs commands in containers through an OCI runtime, and cleans up after dead runs. The caller ensures that only one
 * process works on a container at a time.
 */
export interface ContainerRuntime {
  /** Records the start of a run of container `id` before it creates anything. `remove` is returned by `settle`. */
  begin(id: string, options: { readonly remove: boolean }): Promise<void>;
  /**
   * Runs the command with this process's standard streams or with `onOutput`. Resolves with its exit code (128 + signal
   * number when a signal ended it). Leaves nothing behind except the command's changes. Throws UsageError,
   * NotFoundError (a volume), ContainerStartError, CommandError (no runtime), SyscallError, AbortError.
   */
  run(input: RunInput): Promise<number>;
  /** Kills the processes of container `id`, which another process runs and cleans up after. Does nothing when there are none. */
  kill(id: string): Promise<void>;
  /** Resolves `user` (`USER[:GROUP]`) with the files below `rootfs`. Throws UsageError, SyscallError. */
  findUser(rootfs: string, user: string): Promise<{ readonly uid: number; readonly gid: number }>;
  /**
   * Cleans up after a dead run of container `id`, if there is one. Resolves with true when the container was to be
   * removed after the run.
   */
  settle(id: string, rootfs: string): Promise<boolean>;
  /** The containers with a run or remains of one. */
  list(): Promise<string[]>;
  /** The mount points that the run of container `id` has created so far; undefined when none. */
  mountPoints(id: string): Promise<MountJournal | undefined>;
  /** Removes the mount points of a run from a copy of the container's files. */
  removeMountPoints(copy: string, journal: MountJournal): Promise<void>;
}
