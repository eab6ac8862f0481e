import { homedir } from 'node:os';

/** Home of the user: HOME, else what the system knows, else `/` (a user ID without a name, as in a minimal container). */
export function homeDirectory(env: NodeJS.ProcessEnv): string {
  if (env.HOME !== undefined && env.HOME !== '') return env.HOME;
  try {
    return homedir();
  } catch {
    return '/';
  }
}
