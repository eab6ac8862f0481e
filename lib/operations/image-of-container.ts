import { NotFoundError } from '../errors.js';
import type { ContainerRecord, ImageRecord } from '../metadata/index.js';
import { MAX_CONFIG_BYTES, parseImageConfig, type ImageConfig } from '../spec/index.js';
import type { OperationDeps } from './deps.js';

/** The image that a container was made from. Throws NotFoundError. */
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

/** The config document of an image. Throws NotFoundError, InvalidManifestError, SizeMismatchError. */
export async function readImageConfig(
  deps: Pick<OperationDeps, 'content'>,
  image: Pick<ImageRecord, 'id'>,
): Promise<ImageConfig> {
  const bytes = await deps.content.read(image.id, { maxBytes: MAX_CONFIG_BYTES });
  return parseImageConfig(bytes, `config ${image.id}`);
}
