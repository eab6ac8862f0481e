/**
 * The instructions of a Dockerfile as typed data. Every string that BuildKit expands is marked "unexpanded": it still holds
 * `$NAME`, quotes and escapes as written. A stage's variables are known only while it is built, so the builder calls
 * `expandInstruction` with them, which returns the same instruction with these strings expanded.
 */

/** A place in a Dockerfile; lines and columns (characters) count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The character that escapes another and continues lines. */
export type Escape = '\\' | '`';

/** What every instruction carries besides its own fields. */
export interface InstructionBase {
  /** The Dockerfile's name, as given to `parseDockerfile`. */
  readonly file: string;
  /** The first character of the keyword. */
  readonly start: Position;
  /** The last line that belongs to the instruction, heredocs included; the column is that after its last character. */
  readonly end: Position;
  /** The instruction on one line: continuation lines joined, comments dropped, heredoc bodies left out. */
  readonly text: string;
  /** The keyword as written: `Run`. */
  readonly written: string;
  /** The Dockerfile's escape character, for expanding. */
  readonly escape: Escape;
  /** The comments right above, without `#`, oldest first. */
  readonly comments: readonly string[];
}

/** A here-document of ADD, COPY or RUN. */
export interface Heredoc {
  /** The delimiter without quotes, which is the file's name too: `EOF`. */
  readonly name: string;
  /** The file descriptor before `<<`, 0 when none is given. Only the shell of RUN uses it. */
  readonly descriptor: number;
  /** The lines between, as written: `heredocText` cuts tabs and expands. */
  readonly body: string;
  /** Whether variables in `body` are expanded: false when the delimiter is quoted. RUN leaves expansion to the shell. */
  readonly isExpanded: boolean;
  /** Whether it is written `<<-`: leading tabs are dropped. */
  readonly cutsTabs: boolean;
}

/** The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK CMD; never expanded, its shell does that. */
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
  /** The name after AS, in lower case. */
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
  /** Whether it has the old form `ENV NAME VALUE`. */
  readonly isLegacy: boolean;
}

export interface LabelInstruction extends InstructionBase {
  readonly keyword: 'LABEL';
  readonly pairs: readonly KeyValue[];
  /** Whether it has the old form `LABEL NAME VALUE`. */
  readonly isLegacy: boolean;
}

/** What COPY and ADD have in common. */
export interface CopyBase extends InstructionBase {
  /** Paths, globs and, for ADD, URLs; unexpanded; heredocs are not among them. */
  readonly sources: readonly string[];
  /** Files given in the Dockerfile itself, copied after `sources`. */
  readonly heredocs: readonly Heredoc[];
  /** Unexpanded. */
  readonly destination: string;
  /** `USER[:GROUP]`; unexpanded. */
  readonly chown?: string;
  /** Octal or symbolic (see `parseMode`); unexpanded. */
  readonly chmod?: string;
  readonly link: boolean;
  /** Patterns as in .dockerignore; never expanded. */
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
  /** `sha256:…` of the one remote source; unexpanded. */
  readonly checksum?: string;
  readonly keepGitDir: boolean;
  /** Undefined: local archives are unpacked, remote ones are not. */
  readonly unpack?: boolean;
}

export interface RunInstruction extends InstructionBase {
  readonly keyword: 'RUN';
  /** With heredocs, `text` still holds their `<<NAME`: see `runScript`. */
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  /** Values of `--mount`; unexpanded: `mountsOf` expands and checks them. */
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
  /** Unexpanded words; after `expandInstruction` the ports as a config has them: `8000/tcp`, ranges spread. */
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
  /** Unexpanded; may be relative to the WORKDIR before. */
  readonly path: string;
}

export interface StopsignalInstruction extends InstructionBase {
  readonly keyword: 'STOPSIGNAL';
  /** Unexpanded; `expandInstruction` checks that it is a signal. */
  readonly signal: string;
}

export interface ShellInstruction extends InstructionBase {
  readonly keyword: 'SHELL';
  readonly shell: readonly string[];
}

/** Times of a health check in nanoseconds, as configs hold them; left out when not given or 0. */
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
  /** What `config.OnBuild` keeps: the instruction's text, heredoc bodies included. Parse it with `parseTrigger`. */
  readonly trigger: string;
  /** The trigger, parsed. */
  readonly instruction: StageInstruction;
}

export interface MaintainerInstruction extends InstructionBase {
  readonly keyword: 'MAINTAINER';
  readonly name: string;
}

/** What may follow FROM in a stage. */
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

/** One FROM and what follows it, up to the next FROM. */
export interface Stage {
  /** Counts from 0: the number that `COPY --from=0` means. */
  readonly index: number;
  /** In lower case. */
  readonly name?: string;
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

/** What `# check=` says. */
export interface CheckDirective {
  /** Names of lint rules to leave out; `all`: every rule. */
  readonly skip: readonly string[] | 'all';
  /** Experimental lint rules to apply; `all`: every one. */
  readonly experimental: readonly string[] | 'all';
  /** Whether warnings are errors. */
  readonly error: boolean;
}

/** A Dockerfile as parsed: at least one stage. */
export interface Dockerfile {
  readonly file: string;
  /** The image that `# syntax=` names. imgtool has one frontend and ignores it. */
  readonly syntax?: string;
  readonly escape: Escape;
  readonly check: CheckDirective;
  /** The ARGs before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  /** In the order of the file; never empty. */
  readonly stages: readonly Stage[];
  /** The lines of the file, without their ends: `lines[0]` is line 1. */
  readonly lines: readonly string[];
  /** Lines of blank lines inside continuations. */
  readonly emptyContinuations: readonly number[];
}
