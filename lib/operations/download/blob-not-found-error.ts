import { NotFoundError } from '../../errors.js';
import type { Descriptor } from '../../spec/index.js';

/** What is said of a blob that is neither here nor where it was. */
export function blobNotFoundError({ digest }: Pick<Descriptor, 'digest'>): NotFoundError {
  return new NotFoundError(`blob ${digest} is not in the store, and no registry is known to have it`, {
    kind: 'blob',
    subject: digest,
    hint: 'pull the image again',
  });
}
