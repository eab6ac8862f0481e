import { InvalidManifestError } from '../../errors.js';
import { checkExecution } from '../execution-config.js';
import { flag, membersOf, text, words } from '../json-checks.js';
import { parseJson } from '../parse-json.js';

/** The JSON of one v1 image; unknown fields are kept as they came (docker image/spec/v1.md). */
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

/** A v1 image's JSON: its bytes as received or built, never serialised again, and what they say. */
export interface V1Image {
  readonly id: string;
  readonly parent: string | undefined;
  readonly bytes: Buffer;
  readonly document: V1Document;
}

/** The largest JSON of a v1 image that is read into memory. Bytes. */
export const MAX_V1_JSON_BYTES = 4 * 1024 * 1024;

/** Checks the members of a v1 image's JSON that programs here read. The document stays as it came: its bytes have a digest. */
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

/** Whether `input` is a v1 image ID: 64 lower-case hex digits, as Docker takes them. It is a name and proves nothing. */
export function isV1Id(input: unknown): input is string {
  return typeof input === 'string' && /^[0-9a-f]{64}$/.test(input);
}

/** Whether a registry may take `input` as an image ID: that of 2013's images, 16 hex digits, as well. */
export function isLooseV1Id(input: unknown): input is string {
  return isV1Id(input) || (typeof input === 'string' && /^[0-9a-f]{16}$/.test(input));
}

/**
 * Parses and checks the JSON of the image that was asked for as `id`; `id` undefined takes the one it names. Throws
 * InvalidManifestError.
 */
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
  if (id !== undefined && named !== id) fail(`says that it is ${named}`);
  // Some writers say that there is no parent with an empty one.
  const parent: unknown = document.parent === '' ? undefined : (document.parent ?? undefined);
  if (parent !== undefined && !isLooseV1Id(parent)) return fail('has a parent that is not an image ID');
  if (parent === named) fail('is its own parent');
  return { id: named, parent, bytes: Buffer.from(bytes), document };
}
