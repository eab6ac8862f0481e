import { createHash, type Hash } from 'node:crypto';
import { InvalidReferenceError } from '../errors.js';

/** `algorithm:hex` over bytes as stored or sent (image-spec descriptor.md, "Digests"). */
export type Digest = string & { readonly __brand: 'Digest' };
/** Digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly __layer: 'DiffId' };
/** Digest that names a stack of layers (image-spec config.md, "Layer ChainID"). */
export type ChainId = Digest & { readonly __chain: 'ChainId' };

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

/** The registered digest algorithms imgtool computes. */
export type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** Whether `input` is a digest of a known algorithm: lower-case hex of the right length, nothing else. */
export function isDigest(input: unknown): input is Digest {
  if (typeof input !== 'string') return false;
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(input);
  return match !== null && match[2]!.length === HEX_LENGTH[match[1] as DigestAlgorithm];
}

/** Parses a digest; throws InvalidReferenceError. What passes is safe as a file name once split. */
export function parseDigest(input: string): Digest {
  if (isDigest(input)) return input;
  throw new InvalidReferenceError(`${JSON.stringify(input.slice(0, 200))} is not a digest`, {
    input,
    hint: 'a digest is sha256: and 64 lower-case hex digits',
  });
}

/** The algorithm of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm;
}

/** The hex part of a digest: what file names are made of. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Digest of `bytes` held in memory. */
export function digestOf(bytes: string | NodeJS.ArrayBufferView, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFrom(createHash(algorithm).update(bytes), algorithm);
}

/** Ends `hash` and names the result; `algorithm` must be the one it was made with. */
export function digestFrom(hash: Hash, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
