import type { KeyPart } from '../../metadata/index.js';
import type { Dockerfile } from '../../dockerfile/index.js';
import type { RunInput } from '../../runtime/index.js';
import type { ChainId, Descriptor, DiffId, Digest, Platform, Reference } from '../../spec/index.js';
import type { CopyTransports } from '../copy/index.js';
import type { OperationDeps } from '../deps.js';
import type { PullPolicy } from '../pull/index.js';

export interface BuildDeps extends OperationDeps {
  /** Opens layouts used as build contexts. */
  readonly openSource: CopyTransports['openSource'];
}

/** A secret or an SSH agent that RUN may mount. */
export interface BuildSecret {
  readonly id: string;
  /** Throws NotFoundError. */
  readonly read: () => Promise<Uint8Array>;
}

export interface BuildRequest {
  readonly dockerfile: Dockerfile;
  /** Identifies this Dockerfile in the cache, such as its absolute path. Not part of any key. */
  readonly origin: string;
  readonly target?: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly platform: Platform;
  /** When to fetch base images. */
  readonly pull: Extract<PullPolicy, 'always' | 'missing' | 'never' | 'newer'>;
  /** True: use no cached steps. Stage names: use none for these stages. */
  readonly noCache: boolean | readonly string[];
  /** Maximum age of cached steps in ms. */
  readonly cacheTtlMs?: number | undefined;
  /** Maximum number of concurrent steps. */
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
  /** Merges all steps of the image into one layer. */
  readonly squash: boolean;
  /** Keeps the files of a failed step as a container. */
  readonly keepFailed: boolean;
  /** Reports for each step why it was not cached. */
  readonly explain: boolean;
  /** Seconds since 1970; upper limit for dates in the config and for packed files. */
  readonly sourceDateEpoch?: number | undefined;
  readonly reserveBytes?: number | undefined;
  /** Reports whether a stage need not be built. Default: none. */
  readonly isSkipped?: (stage: number) => boolean;
  /** A step that need not run, by stage and instruction number (from 1). Default: none. */
  readonly importStep?: (stage: number, number: number) => ImportedStep | undefined;
  /** Stores cache mounts outside the store too. Default: only in the store. */
  readonly cacheMounts?: CacheMountKeeper | undefined;
  readonly signal: AbortSignal;
}

/** Stores cache mounts for builds on other machines. `key`: their key in the store. */
export interface CacheMountKeeper {
  /** Called for each cache mount given to a command. */
  used(key: string, id: string): void;
  /** Fills a new cache mount. `none`: no content available; `broken`: failed with some files left. Throws AbortError. */
  restore(key: string, cache: { readonly id: string; readonly directory: string }): Promise<'done' | 'none' | 'broken'>;
}

/** A step whose layer already exists. */
export interface ImportedStep {
  /** Identifies it in the cache. */
  readonly key: string;
  /** Applies the layer to the directory, which holds the files below it. False: the layer is unusable and the step must run. */
  readonly write: (directory: string) => Promise<boolean>;
}

/** Result of one step. */
export interface StepReport {
  readonly stage: string;
  /** The Dockerfile's name in messages. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly cached: boolean;
  readonly seconds: number;
  /** The changed parts of its key that kept it out of the cache; undefined for a cached step. */
  readonly missed?: readonly string[];
}

/** A layer of a result; size in bytes. */
export interface ReportedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly state: 'packed' | 'present';
}

/** A built image, or the index of several platforms. */
export interface BuildResult {
  /** Digest of the config, or of the index. */
  readonly id: Digest;
  readonly names: readonly string[];
  /** Digest of the manifest or index. */
  readonly digest: Digest;
  /** `OS/ARCH[/VARIANT]`, comma-separated. */
  readonly platform: string;
  readonly layers: readonly ReportedLayer[];
  readonly steps: readonly StepReport[];
  readonly seconds: number;
  /** The images of an index. */
  readonly images?: readonly Pick<BuildResult, 'id' | 'digest' | 'platform' | 'layers'>[];
}

/** Identity of a step: steps with the same key have the same files. */
export interface StepKey {
  /** 64 hex digits: SHA-256 of the parts. */
  readonly key: string;
  readonly parts: readonly KeyPart[];
}

/** The files before or after a step; undefined if there are none yet. */
export interface StepTree {
  /** Name of the read-only subvolume. */
  readonly subvolume: ChainId;
  /** Identifies the files in the keys of later steps. */
  readonly key: string;
  /** ID of the step that made them; undefined for a base image. */
  readonly step?: string;
}

/** A layer of the image: from its base, or a step that is packed when the image is written. */
export type StageLayer =
  | { readonly kind: 'base'; readonly blob: Descriptor; readonly diffId: DiffId }
  | { readonly kind: 'step'; readonly tree: StepTree; readonly below: StepTree | undefined; readonly created: string };
