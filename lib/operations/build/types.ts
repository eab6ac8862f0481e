import type { KeyPart } from '../../metadata/index.js';
import type { Dockerfile } from '../../dockerfile/index.js';
import type { RunInput } from '../../runtime/index.js';
import type { ChainId, Descriptor, DiffId, Digest, Platform, Reference } from '../../spec/index.js';
import type { CopyTransports } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import type { PullPolicy } from '../pull/index.js';

/** What building works with. */
export interface BuildDeps extends OperationDeps {
  /** Opens the layouts that build contexts name. */
  readonly openSource: CopyTransports['openSource'];
}

/** A secret or an SSH agent that RUN may mount. */
export interface BuildSecret {
  readonly id: string;
  /** Reads it. Throws NotFoundError. */
  readonly read: () => Promise<Uint8Array>;
}

/** What to build, and how. */
export interface BuildRequest {
  readonly dockerfile: Dockerfile;
  /** Tells this Dockerfile from others in the cache: its absolute path, for instance. Decides no hit. */
  readonly origin: string;
  readonly target?: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly platform: Platform;
  /** When a base image is fetched. */
  readonly pull: Extract<PullPolicy, 'always' | 'missing' | 'never' | 'newer'>;
  /** True: no step is taken from the cache. Names of stages: theirs are not. */
  readonly noCache: boolean | readonly string[];
  /** Steps older than this are not taken from the cache, milliseconds. */
  readonly cacheTtlMs?: number | undefined;
  /** Steps that run at the same time. */
  readonly jobs: number;
  readonly network: 'host' | 'none';
  readonly secrets: readonly BuildSecret[];
  /** Sockets of SSH agents by ID. */
  readonly ssh: ReadonlyMap<string, string>;
  readonly addHosts: RunInput['addHosts'];
  readonly processLimits: RunInput['processLimits'];
  readonly shmSize?: number | undefined;
  /** Name or path of the OCI runtime. */
  readonly runtime?: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  /** Annotations of the manifest. */
  readonly annotations: ReadonlyMap<string, string>;
  /** Names of the image. */
  readonly references: readonly Reference[];
  readonly format: 'oci' | 'docker';
  /** One layer for all steps of the image. */
  readonly squash: boolean;
  /** A step that fails leaves its files as a container. */
  readonly keepFailed: boolean;
  /** Whether each step says why it was not found in the cache. */
  readonly explain: boolean;
  /** Seconds since 1970 that no date of the config and no file that is packed is newer than. */
  readonly sourceDateEpoch?: number | undefined;
  readonly reserveBytes?: number | undefined;
  /** Stages that need not be built. Default: none. */
  readonly isSkipped?: (stage: number) => boolean;
  /** A step that need not be run, by its stage and the number of its instruction, from 1. Default: none. */
  readonly importStep?: (stage: number, number: number) => ImportedStep | undefined;
  /** Keeps cache mounts outside the store too. Default: they are in the store alone. */
  readonly cacheMounts?: CacheMountKeeper | undefined;
  readonly signal: AbortSignal;
}

/** Keeps cache mounts for builds on other machines. `key`: that of the store. */
export interface CacheMountKeeper {
  /** Told of each cache mount that a command is given. */
  used(key: string, id: string): void;
  /** Fills a new one. `none`: there is nothing to fill it with; `broken`: it failed and left some files. Throws AbortError. */
  restore(key: string, cache: { readonly id: string; readonly directory: string }): Promise<'done' | 'none' | 'broken'>;
}

/** A step whose files are in a layer that is at hand. */
export interface ImportedStep {
  /** Stands for it in the cache. */
  readonly key: string;
  /** Writes its changes into the directory, the files below it. False: the layer cannot be used, and the step has to be run. */
  readonly write: (directory: string) => Promise<boolean>;
}

/** What became of one step. */
export interface StepReport {
  readonly stage: string;
  /** The Dockerfile, as messages name it. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly cached: boolean;
  readonly seconds: number;
  /** Why it was not in the cache: the parts of its key that differ; undefined where it was. */
  readonly missed?: readonly string[];
}

/** A layer of a result; size in bytes. */
export interface ReportedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: 'packed' | 'present';
}

/** The image that was built; of several platforms, their index. */
export interface BuildResult {
  /** Digest of the config, or of the index. */
  readonly id: Digest;
  readonly names: readonly string[];
  /** Digest of the manifest or index. */
  readonly digest: Digest;
  /** `OS/ARCH[/VARIANT]`; several between commas. */
  readonly platform: string;
  readonly layers: readonly ReportedLayer[];
  readonly steps: readonly StepReport[];
  readonly seconds: number;
  /** The images of an index. */
  readonly images?: readonly Pick<BuildResult, 'id' | 'digest' | 'platform' | 'layers'>[];
}

/** What makes a step what it is: two steps with the same key give the same files. */
export interface StepKey {
  /** 64 hex digits: SHA-256 of the parts. */
  readonly key: string;
  readonly parts: readonly KeyPart[];
}

/** The files that a step begins with or leaves; undefined where there are none yet. */
export interface StepTree {
  /** Name of the read-only subvolume. */
  readonly subvolume: ChainId;
  /** Stands for the files in the keys of the steps on them. */
  readonly key: string;
  /** ID of the step that made them; undefined: a base image. */
  readonly step?: string;
}

/** A layer of the image: of its base, or a step that is packed when the image is written. */
export type StageLayer =
  | { readonly kind: 'base'; readonly blob: Descriptor; readonly diffId: DiffId }
  | { readonly kind: 'step'; readonly tree: StepTree; readonly below: StepTree | undefined; readonly created: string };
