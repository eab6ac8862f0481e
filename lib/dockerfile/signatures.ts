import type { Platform } from '../spec/index.js';
import type {
  ArgInstruction,
  Command,
  Dockerfile,
  Heredoc,
  Instruction,
  RunInstruction,
  Stage,
  StageInstruction,
} from './instructions.js';

/** The variables that words are expanded with. */
export type Environment = ReadonlyMap<string, string>;

/** Parses a Dockerfile. `file`: its name for messages. Throws DockerfileError. */
export declare function parseDockerfile(bytes: Uint8Array, options: { readonly file: string }): Dockerfile;

/** Parses one entry of a base image's `config.OnBuild`. `base` names the image in messages. Throws DockerfileError. */
export declare function parseTrigger(text: string, options: { readonly base: string }): StageInstruction;

/** Expands one word: quotes removed, variables replaced. Throws RangeError. */
export declare function expandWord(
  word: string,
  environment: Environment,
  options?: { readonly escape?: '\\' | '`' },
): string;

/** The instruction with every unexpanded string expanded. Throws DockerfileError at its place in the file. */
export declare function expandInstruction<I extends Instruction>(
  instruction: I,
  environment: Environment,
  dockerfile: Pick<Dockerfile, 'escape'>,
): I;

/** What a build is started with, as far as the language knows it. */
export interface BuildInputs {
  readonly buildArgs: ReadonlyMap<string, string>;
  /** The platform that the build runs on. */
  readonly buildPlatform: Platform;
  /** The platform that the image is for. */
  readonly targetPlatform: Platform;
  /** `--target`; undefined: the last stage. */
  readonly target?: string | undefined;
}

/** The variables of FROM lines: platform variables and global ARGs. Throws DockerfileError. */
export declare function globalVariables(dockerfile: Dockerfile, inputs: BuildInputs): Environment;

/** Where files of a stage come from. */
export type StageSource =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'context'; readonly name: string }
  | { readonly kind: 'image'; readonly reference: string };

/** A stage whose FROM is expanded. */
export interface ResolvedStage {
  readonly stage: Stage;
  readonly base: StageSource;
  /** Value of `--platform`, expanded. */
  readonly platform: string | undefined;
  /** Stages that it needs: its base, `COPY --from`, `RUN --mount from=`; in ascending order. */
  readonly needs: readonly number[];
}

/** The stages of a Dockerfile and what they need of each other. */
export declare class StageGraph {
  readonly stages: readonly ResolvedStage[];
  /** `contexts`: names of `--build-context`, which win over images and stages. Throws DockerfileError. */
  constructor(
    dockerfile: Dockerfile,
    options: { readonly inputs: BuildInputs; readonly contexts?: ReadonlySet<string> },
  );
  /** The stage that `--target` names (name or number); the last one without. Throws DockerfileError with a suggestion. */
  target(name?: string): ResolvedStage;
  /** Every stage that `target` needs, itself included, each after those it needs. */
  needed(target: ResolvedStage): ResolvedStage[];
  /** What `--from=NAME` means in the stage with this index. Throws DockerfileError for a later stage. */
  source(from: string, stage: Stage, instruction: StageInstruction): StageSource;
}

/** The variables of one stage while it is built. Mutable: ARG and ENV add to it. */
export declare class StageScope {
  /** `env`: entries `K=V` of the base's config. `parent`: scope of the stage that is the base. */
  constructor(options: {
    readonly dockerfile: Dockerfile;
    readonly inputs: BuildInputs;
    readonly stageName: string | undefined;
    readonly env: readonly string[];
    readonly parent?: StageScope | undefined;
  });
  /** What words are expanded with: ENV over ARG. */
  readonly environment: Environment;
  /** `K=V` of ENV, for the config. */
  readonly env: readonly string[];
  /** ARGs in scope that have a value, in order, for `RUN |N A=1` and for RUN's environment. */
  readonly args: readonly (readonly [name: string, value: string])[];
  /** Proxies given as build args and not declared: for RUN's environment only; in no cache key, in no history. */
  readonly proxies: readonly (readonly [name: string, value: string])[];
  /** Takes an unexpanded ARG. Throws DockerfileError. */
  declare(instruction: ArgInstruction): void;
  /** Takes the expanded pairs of ENV. */
  setEnv(pairs: readonly { readonly key: string; readonly value: string }[]): void;
}

/** A mount of RUN, expanded and checked. */
export interface RunMount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  readonly from?: string;
  readonly source?: string;
  readonly target?: string;
  readonly readOnly: boolean;
  /** Bytes; tmpfs only. */
  readonly size?: number;
  readonly id?: string;
  readonly sharing?: 'shared' | 'private' | 'locked';
  readonly required: boolean;
  /** Name of the variable that holds a secret. */
  readonly env?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** The mounts of an expanded RUN. Throws DockerfileError. */
export declare function mountsOf(run: RunInstruction): RunMount[];

/** What RUN executes. `file`: a script that must be at `path`, mode 0755, while it runs. */
export interface RunScript {
  readonly argv: readonly string[];
  readonly file?: { readonly path: string; readonly text: string };
}
export declare function runScript(run: RunInstruction, shell: readonly string[]): RunScript;

/** The command as a config has it. `shell`: of SHELL. */
export declare function commandWords(command: Command, shell: readonly string[]): string[];

/** `created_by` of an expanded instruction as BuildKit writes it. */
export declare function historyText(
  instruction: StageInstruction,
  options: { readonly shell: readonly string[]; readonly args: StageScope['args']; readonly workdir: string },
): string;

/** The patterns of an ignore file. */
export declare class IgnorePatterns {
  /** Throws DockerfileError with the line. */
  static parse(text: string, options: { readonly file: string }): IgnorePatterns;
  /** Patterns of `--exclude`. */
  static of(patterns: readonly string[]): IgnorePatterns;
  /** Whether the file at `path` (relative, `/` between names) is left out. */
  isExcluded(path: string): boolean;
  /** Whether nothing below an excluded directory can be kept, so that a walk may skip it. */
  canSkip(directory: string): boolean;
}

/** Whether Go's `filepath.Match` matches. Throws RangeError for a malformed pattern. */
export declare function matchGlob(pattern: string, name: string): boolean;
/** Whether a COPY source is a glob. */
export declare function isGlob(source: string): boolean;

/** A mode of `--chmod`: the function from the mode of a file to its new one. Throws RangeError. */
export declare function parseMode(text: string): (mode: number, isDirectory: boolean) => number;

export interface LintWarning {
  readonly rule: string;
  readonly message: string;
  readonly line: number;
}
/** Warnings of a parsed Dockerfile, by line. */
export declare function lint(
  dockerfile: Dockerfile,
  options: { readonly inputs: BuildInputs; readonly ignore?: IgnorePatterns },
): LintWarning[];

/** The text of one heredoc of COPY or ADD, expanded. */
export declare function heredocText(heredoc: Heredoc, environment: Environment): string;
