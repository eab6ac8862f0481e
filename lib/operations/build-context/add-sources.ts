import { lstatSync, mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { DigestMismatchError, NotFoundError, TransportError, UsageError } from '../../errors.js';
import { instructionError, type AddInstruction } from '../../dockerfile/index.js';
import { runProcess, temporaryError } from '../../util/index.js';
import type { BuildContextDeps } from './types.js';
import type { Spool, SpooledFile } from './spool.js';

/** A git repository as a source of ADD or a build context. */
interface GitSource {
  readonly repository: string;
  /** Branch, tag or commit; undefined for the default branch. */
  readonly ref: string | undefined;
  /** Subdirectory of the repository. */
  readonly directory: string;
}

/** Reports whether a source of ADD is an HTTP URL. */
export function isUrl(source: string): boolean {
  return /^https?:\/\//i.test(source) && gitSource(source) === undefined;
}

/** Parses the name of a git repository (`…/repo.git#ref:dir`, `git@host:repo`, `git://…`); undefined for other names. */
export function gitSource(source: string): GitSource | undefined {
  const [whole, fragment = ''] = source.split('#', 2) as [string, string?];
  const [address, query = ''] = whole.split('?', 2) as [string, string?];
  const isGit =
    /^(?:git|ssh):\/\//i.test(address) || /^[\w.-]+@[\w.-]+:/.test(address) || /^https?:\/\/.+\.git$/i.test(address);
  if (!isGit) return undefined;
  const parameters = new URLSearchParams(query);
  const colon = fragment.indexOf(':');
  const [refPart, directoryPart] = colon < 0 ? [fragment, ''] : [fragment.slice(0, colon), fragment.slice(colon + 1)];
  const ref = parameters.get('ref') ?? parameters.get('branch') ?? parameters.get('tag') ?? refPart;
  return {
    repository: address,
    ref: ref === '' ? undefined : ref,
    directory: parameters.get('subdir') ?? directoryPart,
  };
}

/** Parses a URL; undefined for other text. `path` is unescaped. */
export function parseUrl(source: string): { readonly host: string; readonly path: string } | undefined {
  try {
    const { host, pathname } = new URL(source);
    return { host, path: decodeURIComponent(pathname) };
  } catch {
    return undefined;
  }
}

/** The file name of a download in a directory: the last part of the URL's path. */
export function nameOfUrl({ path }: { readonly path: string }): string | undefined {
  const name = basename(path);
  return name === '' || name === '.' || name === '..' ? undefined : name;
}

/** A downloaded file. */
interface Download extends SpooledFile {
  /** Last-Modified in seconds since 1970; undefined if the server sent none. */
  readonly modified: number | undefined;
}

/**
 * Downloads a source of ADD and verifies `--checksum`. Throws UsageError (invalid URL), NotFoundError, TransportError,
 * DigestMismatchError, DiskSpaceError, AbortError.
 */
export async function download(
  deps: Pick<BuildContextDeps, 'download'>,
  source: string,
  {
    checksum,
    spool,
    signal,
  }: { readonly checksum: string | undefined; readonly spool: Spool; readonly signal: AbortSignal },
): Promise<Download> {
  const url = parseUrl(source);
  if (url === undefined)
    throw new UsageError(`${JSON.stringify(source)} is no URL`, { hint: 'write https://HOST[:PORT]/PATH' });
  const { status, headers, body } = await deps.download(source, signal);
  if (status !== 200) {
    body.destroy();
    const message = `${withoutLogin(source)} answered ${status}`;
    if (status === 404 || status === 410)
      throw new NotFoundError(message, { kind: 'file', subject: withoutLogin(source) });
    throw new TransportError(message, { host: url.host, phase: 'response' });
  }
  const file = await spool.take(body as AsyncIterable<Buffer>, signal);
  if (checksum !== undefined && `sha256:${file.hash}` !== checksum) {
    spool.drop(file.fd);
    throw new DigestMismatchError(`${withoutLogin(source)} has the SHA-256 ${file.hash}`, {
      expected: checksum,
      actual: `sha256:${file.hash}`,
      hint: 'the file was changed at its source, or --checksum is that of another one',
    });
  }
  const time = Date.parse(headers['last-modified'] ?? '');
  return { ...file, modified: Number.isNaN(time) ? undefined : Math.floor(time / 1000) };
}

/** Throws DockerfileError if `--checksum` does not apply to the sources. */
export function checkChecksum(instruction: AddInstruction): void {
  const { checksum, sources, heredocs } = instruction;
  if (checksum === undefined) return;
  const fail = (message: string, hint: string): never => {
    throw instructionError(instruction, message, hint);
  };
  if (!/^sha256:[0-9a-f]{64}$/.test(checksum))
    fail(`--checksum=${checksum} is no digest`, 'write sha256: and 64 digits');
  if (sources.length + heredocs.length !== 1) fail('--checksum needs exactly one source', 'use an ADD for each file');
  if (!isUrl(sources[0]!)) fail('--checksum is for URLs only', 'files of the context need none');
}

/**
 * Clones a repository without its history into a new directory below `parent`. Resolves with the directory. Runs no
 * code from the repository. Throws CommandError (git is missing or fails), UsageError, AbortError.
 */
export async function cloneRepository(
  { repository, ref = 'HEAD', directory }: GitSource,
  {
    parent,
    onDirectory,
    signal,
  }: {
    readonly parent: string;
    /** Called at once with the new directory, which the caller removes. */
    readonly onDirectory: (directory: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly clone: string; readonly directory: string }> {
  if (ref.startsWith('-') || repository.startsWith('-'))
    throw new UsageError(`${repository}#${ref} is no git repository`);
  const clone = await makeCloneDirectory(parent);
  onDirectory(clone);
  const git = (...words: readonly string[]): Promise<string> =>
    runProcess(['git', ...SAFE, '-C', clone, ...words], {
      signal,
      hint: 'the package git has to be installed, and the repository readable without a password prompt',
      env: environment(),
    });
  await git('init', '--quiet');
  await git('fetch', '--quiet', '--depth', '1', '--no-tags', '--', repository, ref);
  await git('checkout', '--quiet', '--detach', 'FETCH_HEAD');
  await git('submodule', 'update', '--quiet', '--init', '--recursive', '--depth', '1');
  return { clone, directory: posix.normalize(`/${directory}`).slice(1) };
}

const CLONE_PREFIX = 'imgtool-git-';
/** Age in ms before which a clone may still be in use. */
const KEPT_MS = 24 * 3600 * 1000;

async function makeCloneDirectory(parent: string): Promise<string> {
  try {
    await removeOldClones(parent);
    return mkdtempSync(join(parent, CLONE_PREFIX));
  } catch (error) {
    throw temporaryError(parent, error);
  }
}

/** Removes clones left by killed processes. */
async function removeOldClones(parent: string): Promise<void> {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(CLONE_PREFIX)) continue;
    const path = join(parent, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isDirectory() || stats.uid !== process.geteuid!()) continue;
    if (Date.now() - stats.ctimeMs > KEPT_MS) await rm(path, { recursive: true, force: true });
  }
}

const SAFE = [
  ...['-c', 'protocol.allow=never', '-c', 'protocol.https.allow=always', '-c', 'protocol.http.allow=always'],
  ...['-c', 'protocol.ssh.allow=always', '-c', 'protocol.git.allow=always', '-c', 'core.hooksPath=/dev/null'],
  ...['-c', 'core.fsmonitor=false', '-c', 'advice.detachedHead=false'],
] as const;
/** Variables that git needs for the user's logins. */
const KEPT = ['HOME', 'SSH_AUTH_SOCK', 'http_proxy', 'https_proxy', 'no_proxy', 'HTTPS_PROXY', 'NO_PROXY'] as const;

function environment(): Record<string, string> {
  const kept = KEPT.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  return { ...Object.fromEntries(kept), GIT_TERMINAL_PROMPT: '0', GIT_SSH_COMMAND: 'ssh -oBatchMode=yes' };
}

/** A URL without its login, for messages. */
function withoutLogin(source: string): string {
  const url = new URL(source);
  [url.username, url.password, url.search] = ['', '', ''];
  return url.href;
}
