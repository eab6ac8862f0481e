import { spawn } from 'node:child_process';
import { isAbsolute } from 'node:path';
import { AuthenticationError } from '../errors.js';
import { mayNamePrograms, onAbort, SYSTEM_PATH } from '../util/index.js';
import type { Login } from './types.js';

export interface HelperOptions {
  /** The helpers' environment. Programs are searched in the absolute directories of its PATH, or else the system's. */
  readonly env: NodeJS.ProcessEnv;
  /** Time limit of a helper in ms, which may have to ask the user. Default 60,000. */
  readonly timeoutMs?: number | undefined;
}

/** A helper and the registry to ask it about. */
export interface HelperCall {
  /** As in the file; the program is `docker-credential-NAME`. */
  readonly name: string;
  /** The registry's name for helpers. */
  readonly server: string;
  /** The file that names the helper. */
  readonly file: string;
  readonly signal: AbortSignal;
}

const MAX_BYTES = 64 * 1024;
const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * Asks a credential helper for a login (docker-credential-helpers, "development"); undefined when it has none. The user
 * name `<token>` means that the password is a refresh token. Throws AbortError, and AuthenticationError without any of
 * the helper's output.
 */
export async function askHelper(call: HelperCall, options: HelperOptions): Promise<Login | undefined> {
  const { exitCode, output } = await runHelper(call, { verb: 'get', input: call.server }, options);
  if (exitCode !== 0) {
    if (/^\s*credentials not found/i.test(output)) return undefined;
    throw helperError(call, 'get', `failed with exit code ${exitCode}`);
  }
  let answer: { Username?: unknown; Secret?: unknown } | null;
  try {
    answer = JSON.parse(output) as typeof answer;
  } catch {
    answer = null;
  }
  const [username, password] = [answer?.Username, answer?.Secret];
  if (typeof username !== 'string' || typeof password !== 'string')
    throw helperError(call, 'get', 'printed something other than credentials');
  return password === '' ? undefined : { username, password };
}

/** Stores a login in a helper. Throws the errors of `askHelper`. */
export async function storeWithHelper(call: HelperCall, login: Login, options: HelperOptions): Promise<void> {
  const input = JSON.stringify({ ServerURL: call.server, Username: login.username, Secret: login.password });
  const { exitCode } = await runHelper(call, { verb: 'store', input }, options);
  if (exitCode !== 0) throw helperError(call, 'store', `failed with exit code ${exitCode}`);
}

/** Erases a login from a helper. Throws the errors of `askHelper`. */
export async function eraseFromHelper(call: HelperCall, options: HelperOptions): Promise<void> {
  const { exitCode } = await runHelper(call, { verb: 'erase', input: call.server }, options);
  if (exitCode !== 0) throw helperError(call, 'erase', `failed with exit code ${exitCode}`);
}

function runHelper(
  call: HelperCall,
  { verb, input }: { readonly verb: 'get' | 'store' | 'erase'; readonly input: string },
  { env, timeoutMs = DEFAULT_TIMEOUT_MS }: HelperOptions,
): Promise<{ exitCode: number; output: string }> {
  // A name with a slash could run any program.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(call.name)) throw helperError(call, verb, 'has an invalid name');
  if (!mayNamePrograms(call.file)) throw untrustedHelperError(call);
  call.signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(`docker-credential-${call.name}`, [verb], { stdio: 'pipe', env: helperEnvironment(env) });
    let output = '';
    let bytes = 0;
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      forget();
      child.kill('SIGKILL');
      // Processes left by the helper may still hold the pipes.
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy();
      settle();
    };
    const fail = (why: string): void => end(() => reject(helperError(call, verb, why)));
    const timer = setTimeout(() => fail(`did not end within ${Math.ceil(timeoutMs / 1000)} s`), timeoutMs);
    const forget = onAbort(call.signal, () => end(() => reject(call.signal.reason as Error)));
    const count = (text: string): void => {
      bytes += Buffer.byteLength(text);
      if (bytes > MAX_BYTES) fail('printed too much');
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      count(text);
    });
    child.stderr.setEncoding('utf8').on('data', count);
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      end(() => reject(missing ? notInstalledError(call) : helperError(call, verb, `cannot be run (${error.code})`)));
    });
    child.once('close', (exitCode, signal) => {
      if (exitCode === null) fail(`was killed by ${signal}`);
      else end(() => resolve({ exitCode, output }));
    });
  });
}

function helperEnvironment({ IMGTOOL_CREDS: _secret, ...env }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  // An empty PATH would mean the working directory.
  return { ...env, PATH: (env.PATH ?? '').split(':').filter(isAbsolute).join(':') || SYSTEM_PATH };
}

function notInstalledError({ name, server, file }: HelperCall): AuthenticationError {
  return new AuthenticationError(`the credential helper docker-credential-${name} is not installed`, {
    host: server,
    credentialSource: `docker-credential-${name}`,
    hint: `install it, or remove it from ${file}`,
  });
}

function untrustedHelperError({ name, server, file }: HelperCall): AuthenticationError {
  return new AuthenticationError(
    `${file} names the credential helper docker-credential-${name}, and users other than root can change that file`,
    {
      host: server,
      credentialSource: `docker-credential-${name}`,
      hint: 'log in as root, with: sudo -H imgtool login; or run imgtool as the owner of that file',
    },
  );
}

function helperError({ name, server, file }: HelperCall, verb: string, why: string): AuthenticationError {
  return new AuthenticationError(`the credential helper docker-credential-${name} (of ${file}) ${why}`, {
    host: server,
    credentialSource: `docker-credential-${name}`,
    hint:
      verb === 'get' ? `run it by hand to see its message: echo ${server} | docker-credential-${name} get` : undefined,
  });
}
