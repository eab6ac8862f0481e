import { homeDirectory } from '../util/index.js';

/** The locations of this machine's and this user's settings. */
export interface MachineEnvironment {
  readonly env: NodeJS.ProcessEnv;
  /** The user's home directory. */
  readonly home: string;
}

export function thisMachine(env: NodeJS.ProcessEnv = process.env): MachineEnvironment {
  return { env, home: homeDirectory(env) };
}
