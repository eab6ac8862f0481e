import { anyObject, listOf, membersOf, recordOf, text, words } from './json-checks.js';

/** A container's health check, which is Docker's addition to the config. Times in nanoseconds; undefined or 0: the default. */
export interface HealthConfig {
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`. */
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** How to start a container (image-spec config.md, "config", and Docker's additions). */
export interface ExecutionConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, object>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
  readonly Healthcheck?: HealthConfig;
  /** The shell that runs the shell form of commands. */
  readonly Shell?: readonly string[];
  /** Instructions for images built on this one. */
  readonly OnBuild?: readonly string[];
}

/** Checks the `config` of a config or of a v1 image. */
export const checkExecution = membersOf({
  User: text,
  ExposedPorts: recordOf(anyObject),
  Env: listOf(text),
  Entrypoint: words,
  Cmd: words,
  Volumes: recordOf(anyObject),
  WorkingDir: text,
  Labels: recordOf(text),
  StopSignal: text,
  Healthcheck: membersOf({ Test: listOf(text) }),
  Shell: words,
  OnBuild: listOf(text),
});
