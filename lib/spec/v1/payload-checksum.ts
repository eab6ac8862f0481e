import { createHash, type Hash } from 'node:crypto';

/**
 * Starts the hash of `X-Docker-Checksum-Payload`. Update it with the layer exactly as transferred (compressed), and
 * finish it with `digestFrom` (docker-registry lib/checksums.py).
 */
export function beginPayloadChecksum(json: Uint8Array): Hash {
  return createHash('sha256').update(json).update('\n');
}
