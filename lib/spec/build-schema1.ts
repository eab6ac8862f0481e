import { parseImageConfig, type HistoryEntry } from './config.js';
import { digestHex, digestOf, type Digest } from './digest.js';
import { parseJson } from './parse-json.js';
import { signDocument } from './schema1-signature.js';
import { sortedJson } from './v1/sorted-json.js';

/** The layer that stands for a step without one: an empty tar, gzipped by Docker once and for all. */
export const EMPTY_LAYER: Buffer = Buffer.from('1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000', 'hex');

/** A schema 1 manifest that was built. */
export interface BuiltSchema1 {
  /** Signed with a key of its own; differs each time. */
  readonly bytes: Buffer;
  /** Of the payload: what registries know it by. */
  readonly digest: Digest;
  /** Blobs it names, EMPTY_LAYER's among them when it is needed. */
  readonly blobs: readonly Digest[];
}

/**
 * Builds the schema 1 manifest of an image (distribution manifest/schema1/config_builder.go): `layers` are its gzip blobs,
 * oldest first; `name` and `tag` become part of it. Without a usable history one step is made up for each layer. Throws
 * InvalidManifestError for a bad config.
 */
export function buildSchema1(
  configBytes: Buffer,
  layers: readonly Digest[],
  { name, tag }: { readonly name: string; readonly tag: string },
): BuiltSchema1 {
  const config = parseImageConfig(configBytes, 'the config');
  const history = usableHistory(config.history ?? [], layers.length);
  const rest = [...layers];
  const blobs: Digest[] = [];
  const texts: string[] = [];
  let parent: string | undefined;
  for (const [i, step] of history.entries()) {
    const isLast = i === history.length - 1;
    const blob = step.empty_layer === true ? digestOf(EMPTY_LAYER) : rest.shift()!;
    const seed = `${digestHex(blob)} ${parent ?? ''}`;
    const id = digestHex(digestOf(isLast ? Buffer.concat([Buffer.from(`${seed} `), configBytes]) : seed));
    const place = { id, ...(parent === undefined ? {} : { parent }) };
    texts.push(
      isLast
        ? leafJson(parseJson(configBytes, 'the config') as object, step, place)
        : JSON.stringify({ ...place, ...lowerFields(step) }),
    );
    blobs.push(blob);
    parent = id;
  }
  const document = {
    schemaVersion: 1,
    name,
    tag,
    architecture: config.architecture,
    fsLayers: blobs.map((blobSum) => ({ blobSum })).reverse(),
    history: texts.map((v1Compatibility) => ({ v1Compatibility })).reverse(),
  };
  const payload = Buffer.from(JSON.stringify(document, undefined, 3));
  return { bytes: signDocument(payload), digest: digestOf(payload), blobs: [...new Set(blobs)] };
}

/** Each step with a layer needs one, and at least one step there must be. */
function usableHistory(history: readonly HistoryEntry[], layers: number): readonly HistoryEntry[] {
  const withLayer = history.filter((step) => step.empty_layer !== true).length;
  if (history.length > 0 && withLayer === layers) return history;
  return layers === 0 ? [{ empty_layer: true }] : Array<HistoryEntry>(layers).fill({});
}

function lowerFields({ comment, created, created_by, author, empty_layer }: HistoryEntry): object {
  return {
    ...(comment === undefined ? {} : { comment }),
    created: created ?? '0001-01-01T00:00:00Z',
    container_config: { Cmd: [created_by ?? ''] },
    ...(author === undefined ? {} : { author }),
    ...(empty_layer === true ? { throwaway: true } : {}),
  };
}

/** The config itself; it says how its step was made only where Docker's own field does, so that is filled in. */
function leafJson(config: object, { created_by, empty_layer }: HistoryEntry, place: object): string {
  const fields = Object.entries(config).filter(([field]) => field !== 'rootfs' && field !== 'history');
  return sortedJson({
    ...(created_by === undefined ? {} : { container_config: { Cmd: [created_by] } }),
    ...Object.fromEntries(fields),
    ...place,
    ...(empty_layer === true ? { throwaway: true } : {}),
  });
}
