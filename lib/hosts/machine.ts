import { homeDirectory } from '../util/index.js';

/** Where settings of this machine and user are looked for. */
export interface MachineEnvironment {
  readonly env: NodeJS.ProcessEnv;
  /** Home directory of the user. */
  readonly home: string;
}

/** The environment of this process. */
export function thisMachine(env: NodeJS.ProcessEnv = process.env): MachineEnvironment {
  return { env, home: homeDirectory(env) };
}
