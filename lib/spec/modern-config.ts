import type { HistoryEntry } from './config.js';
import type { DiffId } from './digest.js';

/** One image of registry protocol v1, or one history entry of a schema 1 manifest: its JSON, and whether it has a layer. */
export interface V1Step {
  readonly json: Readonly<Record<string, unknown>>;
  /** Changes no file: it has no layer of its own. */
  readonly empty: boolean;
}

/** What belongs to the old format and means nothing in a config. */
const V1_FIELDS = ['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway'];

/**
 * The config of an image that came as a chain of v1 images, root first, with the diffIDs of those that have a layer: the
 * leaf's JSON with `rootfs` and `history`. Keys are sorted, as Docker writes it (moby image/v1/imagev1.go). `architecture`
 * stands in where the leaf names none.
 */
export function modernConfig(
  steps: readonly V1Step[],
  diffIds: readonly DiffId[],
  { architecture = 'amd64' }: { readonly architecture?: string } = {},
): Buffer {
  const leaf = Object.fromEntries(
    Object.entries(steps.at(-1)?.json ?? {}).filter(([name]) => !V1_FIELDS.includes(name)),
  );
  const fields = {
    ...leaf,
    architecture: typeof leaf.architecture === 'string' ? leaf.architecture : architecture,
    os: typeof leaf.os === 'string' ? leaf.os : 'linux',
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: steps.map(historyOf),
  };
  const sorted = Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  return Buffer.from(goJson(sorted));
}

/** JSON as Go writes it, where `<`, `>` and `&` are escaped: so the digests of configs come out as Docker's. */
export function goJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function historyOf({ json, empty }: V1Step): HistoryEntry {
  const command = (json.container_config as { Cmd?: unknown } | null | undefined)?.Cmd;
  const text = (name: string): object => {
    const value = json[name];
    return typeof value === 'string' && value !== '' ? { [name]: value } : {};
  };
  return {
    ...text('created'),
    ...text('author'),
    ...(Array.isArray(command) && command.length > 0 ? { created_by: command.map(String).join(' ') } : {}),
    ...text('comment'),
    ...(empty ? { empty_layer: true } : {}),
  };
}
