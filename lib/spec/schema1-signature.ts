import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  X509Certificate,
  type KeyObject,
  type JsonWebKey,
} from 'node:crypto';
import { InvalidManifestError } from '../errors.js';
import { isObject } from './json-checks.js';
import { parseJson } from './parse-json.js';

/** One signature of a signed document (docker/libtrust jsonsign.go). */
interface Signature {
  readonly header: { readonly alg: string; readonly jwk?: JsonWebKey & { kid?: string }; readonly x5c?: string[] };
  readonly protected: string;
  readonly signature: string;
}

/** A parsed signed document. `payload` is the signed content, from which the digest is computed. */
export interface SignedDocument {
  readonly payload: Buffer;
  readonly signatures: readonly Signature[];
}

const HASH: Readonly<Record<string, { readonly key: 'ec' | 'rsa'; readonly hash: string }>> = {
  ES256: { key: 'ec', hash: 'sha256' },
  ES384: { key: 'ec', hash: 'sha384' },
  ES512: { key: 'ec', hash: 'sha512' },
  RS256: { key: 'rsa', hash: 'sha256' },
  RS384: { key: 'rsa', hash: 'sha384' },
  RS512: { key: 'rsa', hash: 'sha512' },
};
/** More signatures than any real document has; each costs a verification. */
const MAX_SIGNATURES = 16;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/**
 * Parses a signed document: the payload is its first `formatLength` bytes and the tail in the signatures, which must
 * all agree. Undefined when there are no signatures. Verifies none. Throws InvalidManifestError.
 */
export function readSignedDocument(bytes: Uint8Array, where: string): SignedDocument | undefined {
  const document = parseJson(bytes, where) as { signatures?: unknown } | null;
  const list = typeof document === 'object' ? document?.signatures : undefined;
  if (list === undefined) return undefined;
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_SIGNATURES)
    fail('has no usable list of signatures', where);
  const signatures = list.map((entry, i) => checkShape(entry, `${where} signatures[${i}]`));
  let format: { readonly length: number; readonly tail: Buffer } | undefined;
  for (const signature of signatures) {
    const header = parseJson(Buffer.from(signature.protected, 'base64url'), `${where} protected header`);
    const { formatLength: length, formatTail } = isObject(header) ? header : {};
    if (!Number.isSafeInteger(length) || (length as number) < 1 || (length as number) > bytes.byteLength)
      fail('has a signature with a bad formatLength', where);
    if (typeof formatTail !== 'string') fail('has a signature without formatTail', where);
    const tail = Buffer.from(formatTail, 'base64url');
    if (format !== undefined && (format.length !== length || !format.tail.equals(tail)))
      fail('has signatures of different payloads', where);
    format = { length: length as number, tail };
  }
  return { payload: Buffer.concat([bytes.subarray(0, format!.length), format!.tail]), signatures };
}

/** Verifies every signature with the key it contains, which proves nothing about the owner of the key. Throws InvalidManifestError. */
export function verifySignatures({ payload, signatures }: SignedDocument, where: string): void {
  const text = payload.toString('base64url');
  for (const signature of signatures) {
    const { alg } = signature.header;
    const kind = HASH[alg];
    if (kind === undefined) fail(`is signed with ${JSON.stringify(alg).slice(0, 40)}, which is not supported`, where);
    const key = keyOf(signature, where);
    if (key.asymmetricKeyType !== kind.key) fail(`has a signature ${alg} with a key of the wrong type`, where);
    const valid = verify(
      kind.hash,
      Buffer.from(`${signature.protected}.${text}`),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature.signature, 'base64url'),
    );
    if (!valid) fail('does not match its signature', where);
  }
}

/** Signs a JSON document with a new P-256 key: registries check that the signature matches, not whose it is. */
export function signDocument(payload: Buffer): Buffer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const end = payload.lastIndexOf('}');
  let length = end;
  while (length > 0 && /\s/.test(String.fromCharCode(payload[length - 1]!))) length--;
  const header = {
    formatLength: length,
    formatTail: payload.subarray(length).toString('base64url'),
    time: `${new Date().toISOString().slice(0, 19)}Z`,
  };
  const protectedText = Buffer.from(JSON.stringify(header)).toString('base64url');
  const signed = sign('sha256', Buffer.from(`${protectedText}.${payload.toString('base64url')}`), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  const signature = {
    header: { jwk: { crv, kid: keyId(publicKey), kty, x, y }, alg: 'ES256' },
    signature: signed.toString('base64url'),
    protected: protectedText,
  };
  const list = JSON.stringify([signature], undefined, 3).replace(/\n/g, '\n   ');
  return Buffer.concat([payload.subarray(0, length), Buffer.from(`,\n   "signatures": ${list}\n}`)]);
}

/** libtrust's ID of a key: base32 of a part of the hash of its DER form, in groups of four. */
function keyId(key: KeyObject): string {
  const hash = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 30);
  let bits = 0n;
  for (const byte of hash) bits = (bits << 8n) | BigInt(byte);
  const text = Array.from({ length: 48 }, (_, i) => BASE32[Number((bits >> BigInt(5 * (47 - i))) & 31n)]).join('');
  return text.match(/.{4}/g)!.join(':');
}

function keyOf({ header }: Signature, where: string): KeyObject {
  let key: KeyObject;
  try {
    key =
      header.jwk === undefined
        ? new X509Certificate(Buffer.from(header.x5c![0]!, 'base64')).publicKey
        : createPublicKey({ key: header.jwk, format: 'jwk' });
  } catch (cause) {
    throw new InvalidManifestError(`${where} has a signature with a bad key`, { where, cause });
  }
  if (header.jwk?.kid !== undefined && header.jwk.kid !== keyId(key))
    fail('has a signature whose key ID does not match its key', where);
  return key;
}

function checkShape(entry: unknown, where: string): Signature {
  const { header, protected: protectedText, signature } = (entry ?? {}) as Record<string, unknown>;
  const { alg, jwk, x5c } = (header ?? {}) as Record<string, unknown>;
  const hasKey =
    (typeof jwk === 'object' && jwk !== null) || (Array.isArray(x5c) && x5c.length > 0 && typeof x5c[0] === 'string');
  if (typeof alg !== 'string' || typeof protectedText !== 'string' || typeof signature !== 'string' || !hasKey)
    fail('is not a signature with a key', where);
  return entry as Signature;
}

function fail(what: string, where: string): never {
  throw new InvalidManifestError(`${where} ${what}`, { where });
}
