import { formatPlatform, type Platform } from '../spec/index.js';
import type { Dockerfile } from './instructions.js';
import { expand, type Environment } from './lexer.js';
import { inInstruction } from './problem.js';

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

/** Build args that RUN gets without an ARG. */
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** Whether `name` is a predefined proxy variable, in either case. */
export function isProxy(name: string): boolean {
  return PROXIES.includes(name.toUpperCase());
}

/** Names that a build takes without an ARG in the Dockerfile. */
const TAKEN = /^(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)$|^TARGETSTAGE$|^SOURCE_DATE_EPOCH$|^BUILDKIT_/;

/** Build args that change nothing: no ARG declares them. */
export function unusedArgs({ globalArgs, stages }: Dockerfile, buildArgs: Iterable<string>): string[] {
  const instructions = [...globalArgs, ...stages.flatMap((stage) => stage.instructions)];
  const declared = instructions.flatMap((one) => (one.keyword === 'ARG' ? one.args.map(({ name }) => name) : []));
  // A name that is made of variables may be any of them.
  if (declared.some((name) => name.includes('$'))) return [];
  return [...buildArgs].filter((name) => !declared.includes(name) && !isProxy(name) && !TAKEN.test(name));
}

/** The platform variables, overridden by build args of the same name. */
function platformVariables(dockerfile: Dockerfile, inputs: BuildInputs): Map<string, string> {
  const { buildPlatform: build, targetPlatform: target } = inputs;
  const variables = new Map([
    ['BUILDPLATFORM', formatPlatform(build)],
    ['BUILDOS', build.os],
    ['BUILDOSVERSION', build['os.version'] ?? ''],
    ['BUILDARCH', build.architecture],
    ['BUILDVARIANT', build.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(target)],
    ['TARGETOS', target.os],
    ['TARGETOSVERSION', target['os.version'] ?? ''],
    ['TARGETARCH', target.architecture],
    ['TARGETVARIANT', target.variant ?? ''],
    ['TARGETSTAGE', inputs.target || dockerfile.stages.at(-1)!.name || 'default'],
  ]);
  for (const name of variables.keys()) {
    const given = inputs.buildArgs.get(name);
    if (given !== undefined) variables.set(name, given);
  }
  return variables;
}

/** The variables of FROM lines: platform variables and global ARGs. Throws DockerfileError. */
export function globalVariables(dockerfile: Dockerfile, inputs: BuildInputs): Environment {
  const variables = platformVariables(dockerfile, inputs);
  for (const instruction of dockerfile.globalArgs) {
    for (const { name, value } of instruction.args) {
      const given = inputs.buildArgs.get(name);
      const { escape } = instruction;
      if (given !== undefined) variables.set(name, given);
      else if (value !== undefined)
        variables.set(
          name,
          inInstruction(instruction, () => expand(value, variables, { escape }).text),
        );
    }
  }
  return variables;
}
