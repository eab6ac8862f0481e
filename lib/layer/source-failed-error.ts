import { ImgtoolError } from '../errors.js';

/** The writer of the blob being unpacked gave up (`GrowingFile.fail`); the reason is with that writer. */
export class SourceFailedError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SOURCE_FAILED';
  constructor() {
    super('the layer blob was given up while it was being unpacked');
  }
}
