import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AuthenticationError, UsageError } from '../errors.js';
import { withoutByteOrderMark } from '../util/index.js';

/** A possible location of a credentials file. */
export interface AuthFilePath {
  readonly path: string;
  /** Named by the user, so it must exist for reading. */
  readonly explicit: boolean;
  /** Docker's old format, which has only the entries. Never written. */
  readonly isLegacy?: boolean;
}

/** The relevant parts of a credentials file, unchanged. */
export interface AuthFile {
  readonly path: string;
  /** Entries by key. */
  readonly auths: ReadonlyMap<string, unknown>;
  /** Helper names by key, without empty ones. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper for all other hosts. */
  readonly store: string | undefined;
  /** The `HttpHeaders` that Docker passes on to registries, those named `X-Meta-…`; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The text of the file; undefined when it does not exist. */
  readonly text: string | undefined;
}

/** All other headers are for Docker's daemon. */
const META_HEADER = /^x-meta-[A-Za-z0-9-]+$/i;
const MAX_BYTES = 4 * 1024 * 1024;
/** Contains credentials instead of a file. */
const VARIABLE = 'DOCKER_AUTH_CONFIG';

/**
 * The locations of credentials files, in order of precedence: only the file named by the user (`--authfile`,
 * `REGISTRY_AUTH_FILE`), or else Docker's config.json, the files of containers-auth.json(5), and the file of Docker
 * before version 1.7.
 */
export function authFilePaths(
  authfile: string | undefined,
  options: { readonly env: NodeJS.ProcessEnv; readonly home: string; readonly uid: number },
): readonly AuthFilePath[] {
  const { env, home, uid } = options;
  const named = authfile ?? (env.REGISTRY_AUTH_FILE || undefined);
  if (named !== undefined) return [{ path: named, explicit: true }];
  const runtime = env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'containers') : `/run/containers/${uid}`;
  const config = env.XDG_CONFIG_HOME || join(home, '.config');
  return [
    ...[
      join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json'),
      join(runtime, 'auth.json'),
      join(config, 'containers/auth.json'),
    ].map((path) => ({ path, explicit: false })),
    { path: join(home, '.dockercfg'), explicit: false, isLegacy: true },
  ];
}

/** The credentials in `DOCKER_AUTH_CONFIG`, as supported by GitLab and Docker 28. Throws AuthenticationError. */
export function authFileOfEnvironment({ [VARIABLE]: text = '' }: NodeJS.ProcessEnv): AuthFile | undefined {
  return text.trim() === '' ? undefined : parseAuthFile(VARIABLE, withoutByteOrderMark(text));
}

/** Reads a credentials file. A missing file counts as empty unless it is explicit. Throws UsageError, AuthenticationError. */
export async function readAuthFile({ path, explicit, isLegacy = false }: AuthFilePath): Promise<AuthFile> {
  const text = await readText(path, explicit);
  return parseAuthFile(path, text, { isLegacy });
}

function parseAuthFile(path: string, text: string | undefined, { isLegacy = false } = {}): AuthFile {
  const content = text === undefined || text.trim() === '' ? {} : parse(text, path);
  const document = isLegacy ? { auths: content } : content;
  const { credsStore: store } = document;
  return {
    path,
    text: text === undefined || text.trim() === '' ? undefined : text,
    auths: new Map(Object.entries(mapping(document.auths, `auths in ${path}`))),
    helpers: new Map(
      Object.entries(mapping(document.credHelpers, `credHelpers in ${path}`)).flatMap(([key, name]) =>
        typeof name === 'string' && name !== '' ? [[key, name] as const] : [],
      ),
    ),
    store: typeof store === 'string' && store !== '' ? store : undefined,
    headers: Object.fromEntries(
      Object.entries(mapping(document.HttpHeaders, `HttpHeaders in ${path}`)).flatMap(([name, value]) =>
        META_HEADER.test(name) && typeof value === 'string' && /^[\x20-\x7e]*$/.test(value)
          ? [[name.toLowerCase(), value] as const]
          : [],
      ),
    ),
  };
}

async function readText(path: string, explicit: boolean): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > MAX_BYTES) throw authFileError(path, 'is too large');
    return withoutByteOrderMark(await readFile(path, 'utf8'));
  } catch (cause) {
    if (cause instanceof AuthenticationError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    const missing = code === 'ENOENT' || code === 'ENOTDIR';
    // Files that this user cannot read are not meant for them, unless explicitly named.
    if (!explicit && (missing || code === 'EACCES')) return undefined;
    throw new UsageError(`cannot read the credentials file ${path} (${code})`, {
      hint: missing ? 'check --authfile or REGISTRY_AUTH_FILE, or create the file with: imgtool login' : undefined,
      cause,
    });
  }
}

/** Omits the parser's own message, which may quote secrets. */
function parse(text: string, path: string): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw authFileError(path, 'is not JSON');
  }
  return mapping(document, path);
}

function mapping(value: unknown, what: string): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  throw authFileError(what, 'is not a JSON object');
}

function authFileError(what: string, why: string): AuthenticationError {
  const isVariable = what.endsWith(VARIABLE);
  return new AuthenticationError(`the ${isVariable ? 'variable' : 'credentials file'} ${what} ${why}`, {
    host: '',
    credentialSource: what,
    hint: isVariable ? 'repair or unset the variable' : 'repair the file, or choose another one with --authfile',
  });
}
