/**
 * The instructions of a Dockerfile as typed data. Strings that BuildKit expands are marked "unexpanded": they contain
 * `$NAME`, quotes and escapes as written. A stage's variables are known only during its build; the builder then calls
 * `expandInstruction`, which returns the same instruction with these strings expanded.
 */

/** A position in a Dockerfile; lines and columns (in characters) count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The character that escapes others and continues lines. */
export type Escape = '\\' | '`';

/** Fields common to all instructions. */
export interface InstructionBase {
  /** The Dockerfile's name, as given to `parseDockerfile`. */
  readonly file: string;
  /** The first character of the keyword. */
  readonly start: Position;
  /** The last line of the instruction, heredocs included; the column is after its last character. */
  readonly end: Position;
  /** The instruction on one line: continuation lines joined, without comments and heredoc bodies. */
  readonly text: string;
  /** The keyword as written: `Run`. */
  readonly written: string;
  /** The Dockerfile's escape character, for expansion. */
  readonly escape: Escape;
  /** The comments directly above, without `#`, in order. */
  readonly comments: readonly string[];
}

/** A here-document of ADD, COPY or RUN. */
export interface Heredoc {
  /** The delimiter without quotes, which is also the file's name: `EOF`. */
  readonly name: string;
  /** The file descriptor before `<<`, default 0. Used only by the shell of RUN. */
  readonly descriptor: number;
  /** The lines of the body as written; `heredocText` removes tabs and expands. */
  readonly body: string;
  /** True if variables in `body` are expanded: the delimiter is unquoted. RUN leaves expansion to the shell. */
  readonly isExpanded: boolean;
  /** True for `<<-`, which removes leading tabs. */
  readonly cutsTabs: boolean;
}

/** The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK CMD; never expanded, because its shell does that. */
export type Command =
  | { readonly form: 'exec'; readonly words: readonly string[] }
  | { readonly form: 'shell'; readonly text: string };

/** One name and value of ENV or LABEL. */
export interface KeyValue {
  /** Unexpanded. */
  readonly key: string;
  /** Unexpanded. */
  readonly value: string;
}

export interface FromInstruction extends InstructionBase {
  readonly keyword: 'FROM';
  /** The image, stage or `scratch`; unexpanded, with global ARGs only. */
  readonly base: string;
  /** The name after AS in lower case. */
  readonly stageName?: string;
  /** The name after AS, as written. */
  readonly writtenName?: string;
  /** AS, as written. */
  readonly writtenAs?: string;
  /** Value of `--platform`; unexpanded, with global ARGs only. */
  readonly platform?: string;
}

/** One variable of ARG. */
export interface ArgDeclaration {
  /** Unexpanded. */
  readonly name: string;
  /** The default; unexpanded. Undefined: `ARG NAME`. */
  readonly value?: string;
}

export interface ArgInstruction extends InstructionBase {
  readonly keyword: 'ARG';
  readonly args: readonly ArgDeclaration[];
}

export interface EnvInstruction extends InstructionBase {
  readonly keyword: 'ENV';
  readonly pairs: readonly KeyValue[];
  /** True for the old form `ENV NAME VALUE`. */
  readonly isLegacy: boolean;
}

export interface LabelInstruction extends InstructionBase {
  readonly keyword: 'LABEL';
  readonly pairs: readonly KeyValue[];
  /** True for the old form `LABEL NAME VALUE`. */
  readonly isLegacy: boolean;
}

/** Fields common to COPY and ADD. */
export interface CopyBase extends InstructionBase {
  /** Paths, globs and, for ADD, URLs; unexpanded, without heredocs. */
  readonly sources: readonly string[];
  /** Files defined in the Dockerfile itself, copied after `sources`. */
  readonly heredocs: readonly Heredoc[];
  /** Unexpanded. */
  readonly destination: string;
  /** `USER[:GROUP]`; unexpanded. */
  readonly chown?: string;
  /** Octal or symbolic (see `parseMode`); unexpanded. */
  readonly chmod?: string;
  readonly link: boolean;
  /** Patterns in .dockerignore syntax; never expanded. */
  readonly excludes: readonly string[];
}

export interface CopyInstruction extends CopyBase {
  readonly keyword: 'COPY';
  /** The stage, image or build context to copy from; never expanded. */
  readonly from?: string;
  readonly parents: boolean;
}

export interface AddInstruction extends CopyBase {
  readonly keyword: 'ADD';
  /** `sha256:…` of the only remote source; unexpanded. */
  readonly checksum?: string;
  readonly keepGitDir: boolean;
  /** Undefined: local archives are unpacked, remote ones are not. */
  readonly unpack?: boolean;
}

export interface RunInstruction extends InstructionBase {
  readonly keyword: 'RUN';
  /** With heredocs, `text` still contains their `<<NAME`: see `runScript`. */
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  /** Values of `--mount`; unexpanded: `mountsOf` expands and validates them. */
  readonly mounts: readonly string[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  /** Values of `--device`; never expanded. */
  readonly devices: readonly string[];
}

export interface CmdInstruction extends InstructionBase {
  readonly keyword: 'CMD';
  readonly command: Command;
}

export interface EntrypointInstruction extends InstructionBase {
  readonly keyword: 'ENTRYPOINT';
  readonly command: Command;
}

export interface ExposeInstruction extends InstructionBase {
  readonly keyword: 'EXPOSE';
  /** Unexpanded words; after `expandInstruction`, single ports in the config's form: `8000/tcp`. */
  readonly ports: readonly string[];
}

export interface UserInstruction extends InstructionBase {
  readonly keyword: 'USER';
  /** `USER[:GROUP]`; unexpanded. */
  readonly user: string;
}

export interface VolumeInstruction extends InstructionBase {
  readonly keyword: 'VOLUME';
  /** Unexpanded. */
  readonly paths: readonly string[];
}

export interface WorkdirInstruction extends InstructionBase {
  readonly keyword: 'WORKDIR';
  /** Unexpanded; may be relative to the previous WORKDIR. */
  readonly path: string;
}

export interface StopsignalInstruction extends InstructionBase {
  readonly keyword: 'STOPSIGNAL';
  /** Unexpanded; `expandInstruction` validates it. */
  readonly signal: string;
}

export interface ShellInstruction extends InstructionBase {
  readonly keyword: 'SHELL';
  readonly shell: readonly string[];
}

/** Times of a health check in nanoseconds, as in configs; omitted when not given or 0. */
export interface HealthTimes {
  readonly interval?: number;
  readonly timeout?: number;
  readonly startPeriod?: number;
  readonly startInterval?: number;
  readonly retries?: number;
}

export interface HealthcheckInstruction extends InstructionBase, HealthTimes {
  readonly keyword: 'HEALTHCHECK';
  /** `none`: HEALTHCHECK NONE. */
  readonly command: Command | 'none';
}

export interface OnbuildInstruction extends InstructionBase {
  readonly keyword: 'ONBUILD';
  /** The text stored in `config.OnBuild`, heredoc bodies included. Parse it with `parseTrigger`. */
  readonly trigger: string;
  /** The parsed trigger. */
  readonly instruction: StageInstruction;
}

export interface MaintainerInstruction extends InstructionBase {
  readonly keyword: 'MAINTAINER';
  readonly name: string;
}

/** An instruction that may follow FROM. */
export type StageInstruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

export type Instruction = FromInstruction | StageInstruction;
export type Keyword = Instruction['keyword'];

/** A FROM and its instructions, up to the next FROM. */
export interface Stage {
  /** Counts from 0, as in `COPY --from=0`. */
  readonly index: number;
  /** In lower case. */
  readonly name?: string;
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

/** The content of `# check=`. */
export interface CheckDirective {
  /** Lint rules to skip; `all`: every rule. */
  readonly skip: readonly string[] | 'all';
  /** Experimental lint rules to apply; `all`: every rule. */
  readonly experimental: readonly string[] | 'all';
  /** True if warnings are errors. */
  readonly error: boolean;
}

/** A parsed Dockerfile, with at least one stage. */
export interface Dockerfile {
  readonly file: string;
  /** The image in `# syntax=`, which imgtool ignores because it has only one frontend. */
  readonly syntax?: string;
  readonly escape: Escape;
  readonly check: CheckDirective;
  /** The ARGs before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  /** In file order; never empty. */
  readonly stages: readonly Stage[];
  /** The lines of the file without line endings: `lines[0]` is line 1. */
  readonly lines: readonly string[];
  /** Line numbers of blank lines inside continuations. */
  readonly emptyContinuations: readonly number[];
}
