/** Version of the attribute's layout (linux/posix_acl_xattr.h). */
const ACL_VERSION = 2;
/** The ID in entries that name no user or group. */
const NO_ID = 0xffff_ffff;

const TAG = { userOwner: 0x01, user: 0x02, groupOwner: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
/** Tags of entries without and with a name. */
const TAGS: Readonly<Record<string, readonly [plain: number, named: number | undefined]>> = {
  u: [TAG.userOwner, TAG.user],
  g: [TAG.groupOwner, TAG.group],
  m: [TAG.mask, undefined],
  o: [TAG.other, undefined],
};
const ENTRY = /^(u(?:ser)?|g(?:roup)?|m(?:ask)?|o(?:ther)?):([^:]*):([r-][w-][x-])(?::(\d+))?$/;

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/**
 * Converts the text form of access rules as star and GNU tar write it (`SCHILY.acl.access`: `user::rw-,user:7:r--` or
 * one per line; star adds a named user's number as a fourth field) into the value of `system.posix_acl_access`.
 * Undefined for invalid rules and for users without a number, because the meaning of a user name depends on the
 * machine.
 */
export function parseAclText(text: string): Buffer | undefined {
  const entries: AclEntry[] = [];
  for (const line of text.split(/[\n,]/)) {
    const rule = line.replace(/#.*/, '').trim();
    if (rule === '') continue;
    const entry = parseEntry(rule.replace(/^default:/, ''));
    if (entry === undefined) return undefined;
    entries.push(entry);
  }
  if (entries.length === 0) return undefined;
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(ACL_VERSION, 0);
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  }
  return value;
}

function parseEntry(rule: string): AclEntry | undefined {
  const match = ENTRY.exec(rule);
  if (match === null) return undefined;
  const [plain, named] = TAGS[match[1]![0]!]!;
  const permissions = [...match[3]!].reduce((sum, letter, index) => sum + (letter === '-' ? 0 : 4 >> index), 0);
  const name = match[2]!;
  if (name === '') return { tag: plain, permissions, id: NO_ID };
  const id = numberOf(name, match[4]);
  return named === undefined || id === undefined ? undefined : { tag: named, permissions, id };
}

function numberOf(name: string, told: string | undefined): number | undefined {
  const text = told ?? (name === 'root' ? '0' : name);
  const id = /^\d{1,10}$/.test(text) ? Number(text) : NO_ID;
  return id < NO_ID ? id : undefined;
}
