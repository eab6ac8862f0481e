import { ImgtoolError } from '../errors.js';

/** The blob being unpacked was given up by whoever writes it (`GrowingFile.fail`); the reason is with that writer. */
export class SourceFailedError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SOURCE_FAILED';
  constructor() {
    super('the layer blob was given up while it was being unpacked');
  }
}
