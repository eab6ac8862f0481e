import type { ExecutionConfig } from '../spec/index.js';
import type { MountJournal } from './mount-points.js';

/** A directory or file of this machine in a container. */
export interface VolumeMount {
  /** Absolute path of this machine. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** Signals that a program passes on; `handler` hears them until the function returned is called. */
export type TakeSignals = (handler: (signal: NodeJS.Signals) => void) => () => void;

/** A file that is in a container only while its command runs; its bytes are on no disk. */
export interface MemoryFile {
  /** Absolute path in the container. */
  readonly target: string;
  readonly content: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** An empty directory in memory that is gone after the run. */
export interface TemporaryMount {
  /** Absolute path in the container. */
  readonly target: string;
  /** Most bytes it holds; undefined: half of the memory. */
  readonly size?: number | undefined;
}

/** A limit of setrlimit(2); -1: none. */
export interface ResourceLimit {
  /** `nofile`, `nproc`, … */
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** A command to run in a container. */
export interface RunInput {
  /** Of the container: 64 hex digits. */
  readonly id: string;
  /** Directory of its files. */
  readonly rootfs: string;
  /** What its image says of running it. */
  readonly execution: ExecutionConfig;
  /** In place of the image's `Entrypoint`; empty: none. */
  readonly entrypoint?: readonly string[] | undefined;
  /** In place of the image's `Cmd`, when there is any. */
  readonly command: readonly string[];
  /** `NAME=value`, or `NAME` for its value here; over those of the image. */
  readonly env: readonly string[];
  readonly workdir?: string | undefined;
  /** Name or number, with `:` and a group if wanted. */
  readonly user?: string | undefined;
  readonly volumes: readonly VolumeMount[];
  readonly memoryFiles?: readonly MemoryFile[] | undefined;
  readonly temporary?: readonly TemporaryMount[] | undefined;
  /** Lines to add to /etc/hosts: `ADDRESS NAME`. */
  readonly extraHosts?: readonly string[] | undefined;
  readonly limits?: readonly ResourceLimit[] | undefined;
  /** Bytes of /dev/shm; 64 MiB when undefined. */
  readonly shmSize?: number | undefined;
  /** Name of the machine; the beginning of `id` when undefined. */
  readonly hostname?: string | undefined;
  /** Name or path of the OCI runtime; crun or runc when undefined. */
  readonly program?: string | undefined;
  /** `host`: that of this machine; `none`: only a loopback device. */
  readonly network: 'host' | 'none';
  /** Which system calls are filtered: undefined: as docker's default; a profile (JSON) in its format; none. */
  readonly seccomp?: { readonly profile: string } | 'unconfined' | undefined;
  /** Standard input and output are a terminal. */
  readonly terminal: boolean;
  /** Takes what the command writes, in place of the streams of this process; standard input is then empty. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
  /** Signals arrive here while the command runs. */
  readonly takeSignals: TakeSignals;
  /** Stops what comes before the command. */
  readonly signal: AbortSignal;
}

/**
 * Runs commands in containers through an OCI runtime, and cleans up after runs that died. Callers see to it that only one
 * works on a container at a time.
 */
export interface ContainerRuntime {
  /** Notes that a run of container `id` begins, before it leaves anything behind; `remove`: `settle` will say so. */
  begin(id: string, options: { readonly remove: boolean }): Promise<void>;
  /**
   * Runs the command with the standard streams of this process, or with `onOutput`, and resolves with its exit code (128 + number of the
   * signal that ended it). Nothing is left of it but what it changed. Throws UsageError, NotFoundError (a volume),
   * ContainerStartError, CommandError (no runtime), SyscallError, AbortError.
   */
  run(input: RunInput): Promise<number>;
  /** Who `user` (`USER[:GROUP]`) is by the files below `rootfs`. Throws UsageError, SyscallError. */
  findUser(rootfs: string, user: string): Promise<{ readonly uid: number; readonly gid: number }>;
  /** Ends what a run that died has left of container `id`, if anything; resolves with whether it was to be removed. */
  settle(id: string, rootfs: string): Promise<boolean>;
  /** The containers that have a run, or something left of one. */
  list(): Promise<string[]>;
  /** What the run of container `id` has made for mounting by now; undefined when nothing. */
  mountPoints(id: string): Promise<MountJournal | undefined>;
  /** Takes what a run made for mounting out of a copy of the container's files. */
  removeMountPoints(copy: string, journal: MountJournal): Promise<void>;
}
