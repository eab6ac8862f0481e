import { UsageError } from '../errors.js';
import { readInRoot } from './read-in-root.js';

/** The user and groups of a command. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

const MAX_ID = 0x7fff_ffff;

/**
 * Resolves `user` (`USER[:GROUP]`, names or numbers; empty: root) with the container's own /etc/passwd and /etc/group.
 * Numbers need not be listed there. Throws UsageError, SyscallError.
 */
export function findUser(root: string, user: string): ContainerUser {
  const colon = user.indexOf(':');
  const [name, group] = colon < 0 ? [user, ''] : [user.slice(0, colon), user.slice(colon + 1)];
  const wanted = name === '' ? '0' : name;
  const users = records(readInRoot(root, '/etc/passwd'), 7);
  const groups = records(readInRoot(root, '/etc/group'), 4);
  const entry = users.find(([entryName]) => entryName === wanted) ?? users.find(([, , uid]) => uid === wanted);
  const uid = idOf(entry?.[2] ?? wanted);
  if (uid === undefined) throw unknownUserError('user', wanted);
  const home = entry?.[5] || '/';
  if (group !== '') {
    const gid = idOf(groups.find(([groupName]) => groupName === group)?.[2] ?? group);
    if (gid === undefined) throw unknownUserError('group', group);
    return { uid, gid, additionalGids: [], home };
  }
  const member = entry?.[0];
  const additional = groups
    .filter(([, , , members]) => member !== undefined && (members ?? '').split(',').includes(member))
    .flatMap(([, , gid]) => idOf(gid) ?? []);
  return { uid, gid: idOf(entry?.[3]) ?? 0, additionalGids: [...new Set(additional)], home };
}

function records(text: string | undefined, fields: number): string[][] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter((record) => record.length >= fields - 1 && record[0] !== '' && !record[0]!.startsWith('#'));
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

function unknownUserError(kind: 'user' | 'group', name: string): UsageError {
  return new UsageError(`there is no ${kind} ${name} in the container`, {
    hint: `give a number, or a name of its /etc/${kind === 'user' ? 'passwd' : 'group'}`,
  });
}
