import { createHash, type Hash } from 'node:crypto';
import { digestFrom, type Digest } from '../digest.js';

/**
 * The hash behind `X-Docker-Checksum-Payload`, begun: feed it the layer exactly as it is on the wire, still compressed,
 * and end it with `digestFrom` (docker-registry lib/checksums.py).
 */
export function beginPayloadChecksum(json: Uint8Array): Hash {
  return createHash('sha256').update(json).update('\n');
}

/** `beginPayloadChecksum` for a layer in memory. */
export function payloadChecksum(json: Uint8Array, layer: Uint8Array): Digest {
  return digestFrom(beginPayloadChecksum(json).update(layer));
}
