import { homeDirectory } from '../util/index.js';
import { authFileOfEnvironment, authFilePaths, readAuthFile, type AuthFile, type AuthFilePath } from './auth-file.js';
import { entryText, parseAuthEntry } from './auth-entry.js';
import {
  askHelper,
  eraseFromHelper,
  storeWithHelper,
  type HelperCall,
  type HelperOptions,
} from './credential-helper.js';
import { editAuthFile } from './edit-auth-file.js';
import { EXACT_HOST, fileKey, parseRegistryKey, rankOf, sameKey, serverName } from './registry-key.js';
import type { Credentials, CredentialStore, KeptLogin, Login, RegistryKey } from './types.js';

export interface CredentialStoreOptions {
  /** Default: the environment of this process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The only file to use; default: the files of Docker and containers. */
  readonly authfile?: string | undefined;
  /** Time limit of a credential helper in ms. Default 60,000. */
  readonly helperTimeoutMs?: number | undefined;
}

/** The logins of this user. Reads files and runs helpers only on demand. */
export function createCredentialStore(options: CredentialStoreOptions = {}): CredentialStore {
  return new FileCredentialStore(options);
}

/** The user name in helpers of a login whose password is a refresh token. */
const TOKEN_USER = '<token>';
/** Time in ms for which the short-lived secret of a helper is reused. */
const REUSE_MS = 5 * 60_000;

/** A cached result; `at` is a time of `performance.now()`. */
interface Found {
  readonly at: number;
  readonly answer: Promise<Credentials | undefined>;
  /** The signal of the request that searched. */
  readonly starter: AbortSignal;
}

interface Candidate {
  readonly rank: number;
  readonly load: () => Promise<Credentials | undefined>;
}

class FileCredentialStore implements CredentialStore {
  readonly #paths: readonly AuthFilePath[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #helpers: HelperOptions;
  readonly #found = new Map<string, Found>();

  constructor({ env = process.env, authfile, helperTimeoutMs }: CredentialStoreOptions) {
    const home = homeDirectory(env);
    this.#paths = authFilePaths(authfile, { env, home, uid: process.getuid?.() ?? 0 });
    this.#env = env;
    this.#helpers = { env, timeoutMs: helperTimeoutMs };
  }

  readonly find: CredentialStore['find'] = async (host, { repository, signal }) => {
    const key = `${host}/${repository ?? ''}`;
    let found = this.#found.get(key);
    if (found === undefined || performance.now() - found.at >= REUSE_MS) {
      found = { at: performance.now(), answer: this.#find(host, repository, signal), starter: signal };
      this.#found.set(key, found);
    }
    try {
      return await found.answer;
    } catch (error) {
      if (this.#found.get(key) === found) this.#found.delete(key);
      // The request that searched for all was cancelled; this one was not.
      if (found.starter.aborted && !signal.aborted) return this.find(host, { repository, signal });
      throw error;
    }
  };

  async hosts(): Promise<readonly string[]> {
    const keys = (await this.#files()).flatMap(({ auths, helpers }) => [...auths.keys(), ...helpers.keys()]);
    return [...new Set(keys.map((key) => parseRegistryKey(key).host))].filter((host) => !host.includes('*'));
  }

  async requestHeaders(): Promise<Readonly<Record<string, string>>> {
    // A missing file is not an error here: a login may be about to create it, and `find` reports it.
    const files = await Promise.all(this.#paths.map((path) => readAuthFile({ ...path, explicit: false })));
    // The first file takes precedence.
    return Object.assign({}, ...files.reverse().map(({ headers }) => headers)) as Record<string, string>;
  }

  async save(key: RegistryKey, login: Login, { signal }: { readonly signal: AbortSignal }): Promise<KeptLogin> {
    this.#found.clear();
    const { path } = this.#paths[0]!;
    const file = await readAuthFile({ path, explicit: false });
    const helper = key.path === '' ? helperOf(file, key.host) : undefined;
    if (helper !== undefined) {
      const call = { name: helper, server: serverName(key.host), file: path, signal };
      const { identityToken } = login;
      const secret = identityToken === undefined ? login : { username: TOKEN_USER, password: identityToken };
      await storeWithHelper(call, secret, this.#helpers);
    }
    await editAuthFile(path, signal, (entries) => {
      removeKey(entries, key);
      // Docker marks logins kept by a helper with an empty entry.
      entries.set(fileKey(key), helper === undefined ? entryText(login) : '{}');
      return true;
    });
    return { file: path, helper };
  }

  async keys(): Promise<readonly RegistryKey[]> {
    const paths = this.#paths.filter(({ isLegacy = false }) => !isLegacy);
    const files = await Promise.all(paths.map(({ path }) => readAuthFile({ path, explicit: false })));
    const all = files.flatMap(({ auths, helpers }) => [...auths.keys(), ...helpers.keys()].map(parseRegistryKey));
    return all.filter((key, index) => all.findIndex((other) => sameKey(key, other)) === index);
  }

  async remove(key: RegistryKey, { signal }: { readonly signal: AbortSignal }): Promise<readonly KeptLogin[]> {
    this.#found.clear();
    const removed: KeptLogin[] = [];
    for (const { path, isLegacy = false } of this.#paths) {
      if (isLegacy) continue;
      const file = await readAuthFile({ path, explicit: false });
      const helper = key.path === '' ? helperOf(file, key.host) : undefined;
      let erased = false;
      if (helper !== undefined) {
        const call: HelperCall = { name: helper, server: serverName(key.host), file: path, signal };
        // Helpers fail to erase an unknown login.
        erased = (await askHelper(call, this.#helpers)) !== undefined;
        if (erased) await eraseFromHelper(call, this.#helpers);
      }
      let listed = false;
      if ([...file.auths.keys()].some((name) => sameKey(parseRegistryKey(name), key))) {
        await editAuthFile(path, signal, (entries) => (listed = removeKey(entries, key)));
      }
      if (erased || listed) removed.push({ file: path, helper: erased ? helper : undefined });
    }
    return removed;
  }

  async #find(host: string, repository: string | undefined, signal: AbortSignal): Promise<Credentials | undefined> {
    const candidates = (await this.#files()).flatMap((file) => this.#candidates(file, { host, repository, signal }));
    // Sorting is stable, so the first file wins among equals.
    candidates.sort((one, other) => other.rank - one.rank);
    for (const { load } of candidates) {
      const found = await load();
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The files to read, in order of precedence; only the one named by the user, if any. */
  async #files(): Promise<readonly AuthFile[]> {
    const given = this.#paths[0]!.explicit ? undefined : authFileOfEnvironment(this.#env);
    const files = await Promise.all(this.#paths.map(readAuthFile));
    return given === undefined ? files : [given, ...files];
  }

  /** The logins in one file for a repository. A failing helper ends the search, so that no other secret is used (CVE-2021-41092). */
  #candidates(
    file: AuthFile,
    wanted: { readonly host: string; readonly repository: string | undefined; readonly signal: AbortSignal },
  ): Candidate[] {
    const { host, repository, signal } = wanted;
    const rank = (key: string): number | undefined => rankOf(parseRegistryKey(key), host, repository);
    const byHelper = (name: string) => async (): Promise<Credentials | undefined> => {
      const call = { name, server: serverName(host), file: file.path, signal };
      const login = await askHelper(call, this.#helpers);
      return login === undefined ? undefined : fromHelper(login, `docker-credential-${name}`);
    };
    const candidates: (Candidate | { rank: undefined; load: Candidate['load'] })[] = [
      ...[...file.helpers].map(([key, name]) => ({ rank: rank(key), load: byHelper(name) })),
      ...(file.store === undefined || helperOf(file, host) !== file.store
        ? []
        : [{ rank: EXACT_HOST, load: byHelper(file.store) }]),
      ...[...file.auths].map(([key, entry]) => ({
        rank: rank(key),
        // oxlint-disable-next-line typescript/require-await
        load: async () => parseAuthEntry(entry, { key, file: file.path }),
      })),
    ];
    return candidates.filter((candidate): candidate is Candidate => candidate.rank !== undefined);
  }
}

/** The helper that keeps the login of a host: its own, or the one for all hosts. */
function helperOf(file: AuthFile, host: string): string | undefined {
  const own = [...file.helpers].find(([key]) => rankOf(parseRegistryKey(key), host) === EXACT_HOST);
  return own?.[1] ?? file.store;
}

function fromHelper({ username, password }: Login, source: string): Credentials {
  return username === TOKEN_USER
    ? { username: '', password: '', identityToken: password, source }
    : { username, password, source };
}

/** Removes all spellings of a key. Returns true when there was one. */
function removeKey(entries: Map<string, string>, key: RegistryKey): boolean {
  const names = [...entries.keys()].filter((name) => sameKey(parseRegistryKey(name), key));
  return names.map((name) => entries.delete(name)).some(Boolean);
}
