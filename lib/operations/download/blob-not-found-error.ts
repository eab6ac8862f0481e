import { NotFoundError } from '../../errors.js';
import type { Descriptor } from '../../spec/index.js';

/** The error for a blob that is neither in the store nor at a known place. */
export function blobNotFoundError({ digest }: Pick<Descriptor, 'digest'>): NotFoundError {
  return new NotFoundError(`blob ${digest} is not in the store, and no registry is known to have it`, {
    kind: 'blob',
    subject: digest,
    hint: 'pull the image again',
  });
}
