import { InvalidManifestError } from '../errors.js';
import { isDigest, type DiffId } from './digest.js';

/** One step of an image's making (image-spec config.md, "history"). */
export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** What a container is started with (image-spec config.md, "config"). */
export interface ExecutionConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, object>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
}

/** No config document is longer; registries' own limits are far below. */
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** The image config document; unknown fields are kept as they came (image-spec config.md). */
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

/** Parses and checks a config blob. Throws InvalidManifestError; `where` names the blob in it. */
export function parseImageConfig(bytes: Uint8Array, where: string): ImageConfig {
  const document = parseJson(bytes, where) as Partial<ImageConfig> | null;
  const diffIds: unknown = document?.rootfs?.diff_ids;
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) {
    throw new InvalidManifestError(`image config ${where} has no valid rootfs.diff_ids`, { where });
  }
  const history: unknown = document?.history;
  if (history !== undefined && history !== null && !Array.isArray(history)) {
    throw new InvalidManifestError(`image config ${where} has a bad history`, { where });
  }
  return document as ImageConfig;
}

/** Parses JSON in UTF-8. Throws InvalidManifestError. */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidManifestError(`${where} is not JSON: ${(cause as Error).message}`, { where, cause });
  }
}
