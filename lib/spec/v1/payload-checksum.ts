import { createHash, type Hash } from 'node:crypto';

/**
 * The hash behind `X-Docker-Checksum-Payload`, begun: feed it the layer exactly as it is on the wire, still compressed,
 * and end it with `digestFrom` (docker-registry lib/checksums.py).
 */
export function beginPayloadChecksum(json: Uint8Array): Hash {
  return createHash('sha256').update(json).update('\n');
}
