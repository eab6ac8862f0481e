import { NotFoundError, UsageError } from '../../errors.js';
import type { ContainerRecord, ImageRecord } from '../../metadata/index.js';
import { MAX_CONFIG_BYTES, parseImageConfig, type ImageConfig } from '../../spec/index.js';
import type { OperationDeps } from '../deps.js';
import { candidates, findImage } from './find-image.js';

/**
 * Finds a container by name, ID or unique prefix of its ID, in this order. Throws NotFoundError, and UsageError with
 * the candidates if a prefix is ambiguous.
 */
export async function findContainer(deps: Pick<OperationDeps, 'metadata'>, input: string): Promise<ContainerRecord> {
  const records = await deps.metadata.containers.list();
  const named = records.find(({ name }) => name === input);
  if (named !== undefined) return named;
  const matches = /^[0-9a-f]{1,64}$/.test(input) ? records.filter(({ id }) => id.startsWith(input)) : [];
  if (matches.length === 1) return matches[0]!;
  if (matches.length > 1) {
    throw new UsageError(`${input} is the beginning of ${matches.length} container IDs`, {
      hint: `give more of it: ${candidates(matches.map(({ id, name }) => `${id.slice(0, 16)} (${name})`))}`,
    });
  }
  const isImage = await namesAnImage(deps, input);
  throw new NotFoundError(`there is no container ${input}${isImage ? ': it is an image' : ''}`, {
    kind: 'container',
    subject: input,
    hint: isImage
      ? `make a container of it with "imgtool create ${input}", or remove it with "imgtool rmi ${input}"`
      : 'see "imgtool containers"',
  });
}

async function namesAnImage(deps: Pick<OperationDeps, 'metadata'>, input: string): Promise<boolean> {
  try {
    await findImage(deps, input);
    return true;
  } catch {
    return false;
  }
}

/** The image from which a container was created. Throws NotFoundError. */
export async function imageOfContainer(
  deps: Pick<OperationDeps, 'metadata'>,
  container: ContainerRecord,
): Promise<ImageRecord> {
  const records = await deps.metadata.images.ofImage(container.image);
  const image = records.find(({ names }) => names.includes(container.imageName)) ?? records[0];
  if (image !== undefined) return image;
  throw new NotFoundError(`the image ${container.image} that the container was made from is not in the store`, {
    kind: 'image',
    subject: container.image,
    hint: `pull it again: imgtool pull ${container.imageName}`,
  });
}

/** Reads the config of an image. Throws NotFoundError, InvalidManifestError, SizeMismatchError. */
export async function readImageConfig(
  deps: Pick<OperationDeps, 'content'>,
  image: Pick<ImageRecord, 'id'>,
): Promise<ImageConfig> {
  const bytes = await deps.content.read(image.id, { maxBytes: MAX_CONFIG_BYTES });
  return parseImageConfig(bytes, `config ${image.id}`);
}
