import { homedir } from 'node:os';

/**
 * The user's home directory: HOME, or else the system's entry, or else `/` (for a user ID without a name, as in a
 * minimal container).
 */
export function homeDirectory(env: NodeJS.ProcessEnv): string {
  if (env.HOME !== undefined && env.HOME !== '') return env.HOME;
  try {
    return homedir();
  } catch {
    return '/';
  }
}
