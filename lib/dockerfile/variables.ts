import { formatPlatform, normalPlatform, type Platform } from '../spec/index.js';
import type { Dockerfile } from './instructions.js';
import { expand, type Environment } from './lexer.js';
import { inInstruction } from './problem.js';

/** Inputs of a build that the language uses. */
export interface BuildInputs {
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Platform of the build machine. */
  readonly buildPlatform: Platform;
  /** Platform of the image. */
  readonly targetPlatform: Platform;
  /** Value of `--target`; undefined: the last stage. */
  readonly target?: string | undefined;
}

/** Build args passed to RUN without an ARG. */
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** Reports whether `name` is a predefined proxy variable, in upper or lower case. */
export function isProxy(name: string): boolean {
  return PROXIES.includes(name.toUpperCase());
}

/** Build args accepted without an ARG. */
const TAKEN = /^(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)$|^TARGETSTAGE$|^SOURCE_DATE_EPOCH$|^BUILDKIT_/;

/** Build args without effect, because no ARG declares them. */
export function unusedArgs({ globalArgs, stages }: Dockerfile, buildArgs: Iterable<string>): string[] {
  const instructions = [...globalArgs, ...stages.flatMap((stage) => stage.instructions)];
  const declared = instructions.flatMap((one) => (one.keyword === 'ARG' ? one.args.map(({ name }) => name) : []));
  // A name that contains variables could be any of them.
  if (declared.some((name) => name.includes('$'))) return [];
  return [...buildArgs].filter((name) => !declared.includes(name) && !isProxy(name) && !TAKEN.test(name));
}

/** The platform variables, overridden by build args of the same name. */
function platformVariables(dockerfile: Dockerfile, inputs: BuildInputs): Map<string, string> {
  const [build, target] = [normalPlatform(inputs.buildPlatform), normalPlatform(inputs.targetPlatform)];
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
