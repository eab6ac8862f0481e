import { createHash, type Hash } from 'node:crypto';
import { InvalidReferenceError } from '../errors.js';

/** `algorithm:hex` of bytes as stored or sent (image-spec descriptor.md, "Digests"). */
export type Digest = string & { readonly __brand: 'Digest' };
export type DiffId = Digest & { readonly __layer: 'DiffId' };
/** Digest that identifies a stack of layers (image-spec config.md, "Layer ChainID"). */
export type ChainId = Digest & { readonly __chain: 'ChainId' };

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

/** The registered digest algorithms that imgtool supports. */
export type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** True for a digest with a supported algorithm and lower-case hex of the right length. */
export function isDigest(input: unknown): input is Digest {
  if (typeof input !== 'string') return false;
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(input);
  return match !== null && match[2]!.length === HEX_LENGTH[match[1] as DigestAlgorithm];
}

/** Parses a digest. The result is safe as a file name once split. Throws InvalidReferenceError. */
export function parseDigest(input: string): Digest {
  if (isDigest(input)) return input;
  throw new InvalidReferenceError(`${JSON.stringify(input.slice(0, 200))} is not a digest`, {
    input,
    hint: 'a digest is sha256: and 64 lower-case hex digits',
  });
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm;
}

/** The hex part of a digest, used in file names. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Digest of `bytes` in memory. */
export function digestOf(bytes: string | NodeJS.ArrayBufferView, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFrom(createHash(algorithm).update(bytes), algorithm);
}

/** Finishes `hash` and returns its digest. `algorithm` must be the one it was created with. */
export function digestFrom(hash: Hash, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
