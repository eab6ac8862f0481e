import { SyntaxProblem } from '../../dockerfile/index.js';
import type { FileTree } from '../../rootfs/index.js';
import { followPath } from './follow-path.js';
import { readContent } from './read-content.js';

/** User and group IDs. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const MAX_ID = 0xffff_fffe;
/** Size limit of /etc/passwd and /etc/group. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Resolves `USER[:GROUP]` in a stage. Reads its /etc/passwd and /etc/group only for names. Without a group, a user name
 * means the user's primary group, and a number means the same number. Throws SyntaxProblem.
 */
export async function findOwner(stage: FileTree, text: string): Promise<Owner> {
  const colon = text.indexOf(':');
  const user = colon < 0 ? text : text.slice(0, colon);
  const group = colon < 0 ? undefined : text.slice(colon + 1);
  const number = idOf(user);
  if (number !== undefined) return { uid: number, gid: group === undefined ? number : await findGroup(stage, group) };
  const entry = (await records(stage, 'etc/passwd')).find(([name]) => name === user);
  const [uid, gid] = [idOf(entry?.[2]), idOf(entry?.[3])];
  if (uid === undefined || gid === undefined) throw unknownError('user', user);
  return { uid, gid: group === undefined ? gid : await findGroup(stage, group) };
}

/** Resolves `USER` for the owner of a WORKDIR, as when running a container: an unknown number belongs to group 0. */
export async function findUserOwner(stage: FileTree, text: string): Promise<Owner> {
  const [user = '', group = ''] = text.split(':', 2);
  const wanted = user === '' ? '0' : user;
  const users = await records(stage, 'etc/passwd');
  const entry = users.find(([name]) => name === wanted) ?? users.find(([, , id]) => id === wanted);
  const uid = idOf(entry?.[2] ?? wanted);
  if (uid === undefined) throw unknownError('user', wanted);
  return { uid, gid: group === '' ? (idOf(entry?.[3]) ?? 0) : await findGroup(stage, group) };
}

async function findGroup(stage: FileTree, group: string): Promise<number> {
  const number = idOf(group);
  if (number !== undefined) return number;
  const gid = idOf((await records(stage, 'etc/group')).find(([name]) => name === group)?.[2]);
  if (gid === undefined) throw unknownError('group', group);
  return gid;
}

/** Opens no device, fifo or link that leads out of the root (CVE-2024-9676); treats a file that is too large as missing. */
async function records(stage: FileTree, given: string): Promise<string[][]> {
  const path = followPath(stage, given);
  const node = stage.node(path);
  if (node?.type !== 'file' || node.size > MAX_BYTES) return [];
  const text = readContent(await stage.open(path, node)).toString();
  return text.split('\n').map((line) => line.trim().split(':'));
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

function unknownError(kind: 'user' | 'group', name: string): SyntaxProblem {
  return new SyntaxProblem(
    `the stage has no ${kind} ${JSON.stringify(name)}`,
    `give a number, or a name of its /etc/${kind === 'user' ? 'passwd' : 'group'}`,
  );
}
