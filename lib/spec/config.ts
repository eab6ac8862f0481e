import { InvalidManifestError } from '../errors.js';
import { isDigest, type DiffId } from './digest.js';
import { checkExecution, type ExecutionConfig } from './execution-config.js';
import { flag, listOf, membersOf, text, type Check } from './json-checks.js';
import { parseJson } from './parse-json.js';

/** One step in the history of an image (image-spec config.md, "history"). */
export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** Maximum size of a config in bytes; the limits of registries are far below. */
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** The image config document. Unknown fields are preserved (image-spec config.md). */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly config?: ExecutionConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly HistoryEntry[];
}

const checkDiffId: Check<DiffId> = (value, { where, path }) => {
  if (isDigest(value)) return value as DiffId;
  throw new InvalidManifestError(`${where} has a bad ${path}: it is not a digest`, { where });
};

const checkConfig = membersOf({
  created: text,
  author: text,
  architecture: text,
  os: text,
  variant: text,
  config: checkExecution,
  rootfs: membersOf({ type: text, diff_ids: listOf(checkDiffId) }),
  history: listOf(membersOf({ created: text, created_by: text, author: text, comment: text, empty_layer: flag })),
});

/**
 * Parses and checks a config blob. Each field of `ImageConfig` has its type or is absent; `null` counts as absent.
 * Throws InvalidManifestError that names the field, and the blob by `where`.
 */
export function parseImageConfig(bytes: Uint8Array, where: string): ImageConfig {
  const document = checkConfig(parseJson(bytes, where), { where, path: '' }) as Partial<ImageConfig>;
  if (document.rootfs === undefined) throw new InvalidManifestError(`${where} has no rootfs.diff_ids`, { where });
  return { ...document, rootfs: { ...document.rootfs, diff_ids: document.rootfs.diff_ids ?? [] } } as ImageConfig;
}

/** The config without Docker's record of the image's build, which does not apply to derived images. */
export function withoutBuildState<C extends Partial<ImageConfig>>(config: C): C {
  const copy: Record<string, unknown> = { ...config };
  for (const name of ['container', 'container_config', 'id', 'parent', 'throwaway']) delete copy[name];
  return copy as C;
}
