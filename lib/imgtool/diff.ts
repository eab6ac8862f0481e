import type { Change } from '../rootfs/index.js';
import { parseReference } from '../spec/index.js';
import { pathText } from '../util/index.js';
import { bytesOf, checkOptions, checkText, type OptionKinds } from './check-options.js';
import {
  FOR_PLATFORM,
  platformOf,
  RESERVING,
  signalOf,
  STOPPABLE,
  type ForPlatform,
  type Reserving,
  type Stoppable,
} from './common.js';
import type { Drivers } from './drivers.js';
import { SEVERAL_LOGINS } from './named-login.js';
import { DEFAULTS } from './defaults.js';

export interface DiffOptions extends Stoppable, ForPlatform, Reserving {
  /** Container, image or `docker://REF` to compare with. Default: the base of the subject. */
  readonly other?: string | undefined;
  /** Limits the result to these paths and those below them; `*` and `?` match within one name. Default: all. */
  readonly paths?: readonly string[] | undefined;
}

/** A changed path. Sizes in bytes. */
export interface DiffEntry extends Omit<Change, 'path'> {
  /** `/etc/hosts`; bytes that are not UTF-8 appear as `\xNN`. */
  readonly path: string;
  /** The path's bytes if it is not UTF-8. */
  readonly pathBase64?: string;
}

const DIFF: OptionKinds<DiffOptions> = { ...STOPPABLE, ...FOR_PLATFORM, ...RESERVING, other: 'text', paths: 'texts' };
const REMOTE = 'docker://';

export async function diff(drivers: Drivers, subject: string, given: DiffOptions): Promise<DiffEntry[]> {
  checkText('diff', 'the subject', subject);
  const options = checkOptions('diff', given, DIFF);
  const { other } = options;
  const { diffTrees } = await import('../operations/diff/index.js');
  const remote = [subject, other].flatMap((input) =>
    input?.startsWith(REMOTE) === true ? [parseReference(input.slice(REMOTE.length))] : [],
  );
  const login = drivers.namedLogin(
    remote.map(({ host }) => host),
    SEVERAL_LOGINS,
  );
  // The store is created only if a layer may have to be unpacked.
  const local = remote.length > 0 ? await drivers.unpacking() : await drivers.local();
  const list = await diffTrees(
    { ...local, ...drivers.lazyRemote(login) },
    {
      ...{ subject, other, ...platformOf(options) },
      reserveBytes: bytesOf(options.reserve, DEFAULTS.reserve),
      signal: signalOf(options),
    },
  );
  const isWanted = pathFilter(options.paths);
  return list.map(toEntry).filter(({ path }) => isWanted(path));
}

function pathFilter(paths: readonly string[] = []): (path: string) => boolean {
  if (paths.length === 0) return () => true;
  const patterns = paths.map((path) => {
    const source = `/${path}`
      .replace(/\/+/g, '/')
      .replace(/\/$/, '')
      .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]');
    return new RegExp(`^${source}(/|$)`, 's');
  });
  return (path) => patterns.some((pattern) => pattern.test(path));
}

function toEntry({ kind, path, type, changed, size, oldSize }: Change): DiffEntry {
  const { text, isUtf8 } = pathText(path);
  const encoded = isUtf8 ? {} : { pathBase64: path.toString('base64') };
  const sizes = { ...(size === undefined ? {} : { size }), ...(oldSize === undefined ? {} : { oldSize }) };
  return { kind, path: text, ...encoded, type, changed, ...sizes };
}
