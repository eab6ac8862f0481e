import { LayerFormatError } from '../../errors.js';
import { MAX_EXTENSION_BYTES, MAX_SPARSE_REGIONS, MAX_XATTRS } from '../limits.js';
import { parseAclText } from './acl.js';
import type { MemberXattr } from './member.js';
import { forEachPaxRecord, parsePaxNumber, parsePaxTime } from './pax.js';

/** The values of PAX records for members. An absent value leaves the one from the header block. */
export interface PaxValues {
  path?: Buffer | undefined;
  linkPath?: Buffer | undefined;
  size?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  mtime?: { readonly seconds: number; readonly nanos: number } | undefined;
  xattrs?: MemberXattr[] | undefined;
  /** Names of attributes whose value has no meaning on this machine. */
  lostXattrs?: string[] | undefined;
  sparseMajor?: number | undefined;
  sparseMinor?: number | undefined;
  sparseName?: Buffer | undefined;
  sparseRealSize?: number | undefined;
  sparseMap?: number[] | undefined;
}

const SCHILY_XATTR = 'SCHILY.xattr.';
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.';
/** The PAX keywords of access rules in text form, with the attributes that they represent. */
const SCHILY_ACL: Readonly<Record<string, string>> = {
  'SCHILY.acl.access': 'system.posix_acl_access',
  'SCHILY.acl.default': 'system.posix_acl_default',
};

/** Reads the records of one extended header into `values`. `data` may be overwritten afterwards. Throws LayerFormatError. */
export function readPaxRecords(data: Buffer, values: PaxValues): void {
  const translated: MemberXattr[] = [];
  forEachPaxRecord(data, (key, value) => {
    switch (key) {
      case 'path':
        values.path = text(key, value);
        break;
      case 'linkpath':
        values.linkPath = text(key, value);
        break;
      case 'size':
        values.size = numeric(key, value);
        break;
      case 'uid':
        values.uid = numeric(key, value);
        break;
      case 'gid':
        values.gid = numeric(key, value);
        break;
      case 'mtime':
        values.mtime = value.length === 0 ? undefined : (parsePaxTime(value) ?? malformed(key));
        break;
      default:
        if (key.startsWith(SCHILY_XATTR)) {
          addXattr((values.xattrs ??= []), decodeSchilyName(key.slice(SCHILY_XATTR.length)), value);
        } else if (key.startsWith(LIBARCHIVE_XATTR)) {
          const name = Buffer.from(decodePercent(key.slice(LIBARCHIVE_XATTR.length)), 'latin1');
          addXattr(translated, name, Buffer.from(value.toString('latin1'), 'base64'));
        } else if (SCHILY_ACL[key] !== undefined) {
          const acl = parseAclText(value.toString('latin1'));
          if (acl !== undefined) addXattr(translated, Buffer.from(SCHILY_ACL[key]), acl);
          else if (value.length > 0 && values.lostXattrs?.includes(SCHILY_ACL[key]) !== true)
            (values.lostXattrs ??= []).push(SCHILY_ACL[key]);
        } else if (key.startsWith('GNU.sparse.')) {
          readSparseRecord(key, value, values);
        }
    }
  });
  for (const xattr of translated) {
    const known = (values.xattrs ??= []);
    if (!known.some(({ name }) => name.equals(xattr.name))) known.push(xattr);
  }
  // Global headers accumulate, so the limit of one header applies to all of them together.
  const bytes = values.xattrs?.reduce((sum, { name, value }) => sum + name.length + value.length, 0) ?? 0;
  if (bytes > MAX_EXTENSION_BYTES) throw new LayerFormatError('a member has too many bytes of extended attributes');
}

/** Reads the sparse formats 0.0, 0.1 and 1.0 of GNU tar ("Storing Sparse Files" in its manual). */
function readSparseRecord(key: string, value: Buffer, values: PaxValues): void {
  const map = (): number[] => {
    const regions = (values.sparseMap ??= []);
    if (regions.length >= 2 * MAX_SPARSE_REGIONS) throw new LayerFormatError('a sparse file has too many regions');
    return regions;
  };
  switch (key) {
    case 'GNU.sparse.major':
      values.sparseMajor = numeric(key, value);
      break;
    case 'GNU.sparse.minor':
      values.sparseMinor = numeric(key, value);
      break;
    case 'GNU.sparse.name':
      values.sparseName = text(key, value);
      break;
    case 'GNU.sparse.size':
    case 'GNU.sparse.realsize':
      values.sparseRealSize = numeric(key, value);
      break;
    case 'GNU.sparse.offset':
    case 'GNU.sparse.numbytes': {
      const regions = map();
      if (regions.length % 2 !== (key === 'GNU.sparse.offset' ? 0 : 1)) malformed(key);
      regions.push(numeric(key, value) ?? malformed(key));
      break;
    }
    case 'GNU.sparse.map': {
      values.sparseMap = undefined;
      for (let at = 0; at < value.length;) {
        const comma = value.indexOf(0x2c, at);
        const end = comma < 0 ? value.length : comma;
        map().push(numeric(key, value.subarray(at, end)) ?? malformed(key));
        at = end + 1;
      }
      break;
    }
  }
}

function malformed(key: string): never {
  throw new LayerFormatError(`the PAX record ${JSON.stringify(key.slice(0, 60))} has no valid value`);
}

/** An empty value revokes an earlier one (POSIX). */
function text(key: string, value: Buffer): Buffer | undefined {
  if (value.length === 0) return undefined;
  if (value.includes(0)) malformed(key);
  return Buffer.from(value);
}

function numeric(key: string, value: Buffer): number | undefined {
  if (value.length === 0) return undefined;
  return parsePaxNumber(value) ?? malformed(key);
}

function addXattr(list: MemberXattr[], name: Buffer, value: Buffer): void {
  if (name.length === 0 || name.length > 255 || name.includes(0)) malformed('xattr');
  const at = list.findIndex((known) => known.name.equals(name));
  if (at < 0 && list.length >= MAX_XATTRS) throw new LayerFormatError('a member has too many extended attributes');
  const xattr = { name, value: Buffer.from(value) };
  if (at < 0) list.push(xattr);
  else list[at] = xattr;
}

/** Decodes names as `encodeXattrName` and GNU tar encode them. A `%` without a known code stays unchanged. */
function decodeSchilyName(name: string): Buffer {
  return Buffer.from(
    name.replace(/%(3D|25)/g, (_, code: string) => (code === '25' ? '%' : '=')),
    'latin1',
  );
}

function decodePercent(name: string): string {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}
