import { InvalidManifestError } from '../../errors.js';
import { checkExecution } from '../execution-config.js';
import { flag, membersOf, text, words } from '../json-checks.js';
import { parseJson } from '../parse-json.js';

/** The JSON of one v1 image. Unknown fields are preserved (docker image/spec/v1.md). */
export interface V1Document {
  readonly id: string;
  readonly parent?: string;
  readonly created?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly architecture?: string;
  readonly os?: string;
  readonly throwaway?: boolean;
  readonly container_config?: { readonly Cmd?: readonly string[] | null } | null;
  readonly config?: Readonly<Record<string, unknown>> | null;
}

/** A v1 image's JSON: its bytes as received or built, which are never serialised again, and their content. */
export interface V1Image {
  readonly id: string;
  readonly parent: string | undefined;
  readonly bytes: Buffer;
  readonly document: V1Document;
}

/** Maximum size of a v1 image's JSON, in bytes. */
export const MAX_V1_JSON_BYTES = 4 * 1024 * 1024;

/** Checks the members of a v1 image's JSON that this program reads. The document stays unchanged, because its bytes have a digest. */
export const checkV1Members = membersOf({
  created: text,
  author: text,
  comment: text,
  architecture: text,
  os: text,
  throwaway: flag,
  container_config: membersOf({ Cmd: words }),
  config: checkExecution,
});

/** True for a v1 image ID: 64 lower-case hex digits, as in Docker. It is a name and proves nothing. */
export function isV1Id(input: unknown): input is string {
  return typeof input === 'string' && /^[0-9a-f]{64}$/.test(input);
}

/** True for an image ID that a registry may accept, including the 16 hex digits of images from 2013. */
export function isLooseV1Id(input: unknown): input is string {
  return isV1Id(input) || (typeof input === 'string' && /^[0-9a-f]{16}$/.test(input));
}

/** Parses and checks the JSON of the requested image `id`; undefined accepts any ID. Throws InvalidManifestError. */
export function parseV1Image(bytes: Uint8Array, id?: string): V1Image {
  const where = id === undefined ? 'the v1 image' : `v1 image ${id}`;
  const fail = (why: string): never => {
    throw new InvalidManifestError(`${where} ${why}`, { where });
  };
  if (bytes.byteLength > MAX_V1_JSON_BYTES) fail(`has a JSON of ${bytes.byteLength} bytes: too large`);
  const document = parseJson(bytes, where) as V1Document;
  checkV1Members(document, { where, path: '' });
  const named: unknown = document.id;
  if (!isLooseV1Id(named)) return fail('has no valid id');
  if (id !== undefined && named !== id) fail(`has the id ${named}`);
  // Some writers use an empty string for no parent.
  const parent: unknown = document.parent === '' ? undefined : (document.parent ?? undefined);
  if (parent !== undefined && !isLooseV1Id(parent)) return fail('has a parent that is not an image ID');
  if (parent === named) fail('is its own parent');
  return { id: named, parent, bytes: Buffer.from(bytes), document };
}
