import { digestAlgorithm, digestOf, type Digest, type RawManifest } from '../spec/index.js';

/**
 * A manifest as one file, which keeps its bytes and the pushed media type together: a line of JSON `{"mediaType": …}`,
 * then the bytes exactly as pushed.
 */
export function encodeManifestFile(manifest: RawManifest): Buffer {
  const head = JSON.stringify({ mediaType: manifest.descriptor.mediaType });
  return Buffer.concat([Buffer.from(`${head}\n`), manifest.bytes]);
}

/** Parses the output of `encodeManifestFile`; undefined for a damaged file. */
export function decodeManifestFile(file: Buffer, digest: Digest): RawManifest | undefined {
  const end = file.indexOf(0x0a);
  if (end < 0) return undefined;
  const bytes = file.subarray(end + 1);
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined;
  const { mediaType } = JSON.parse(file.toString('utf8', 0, end)) as { mediaType: string };
  return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
}
