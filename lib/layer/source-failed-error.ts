import { ImgtoolError } from '../errors.js';

/** The writer of the blob being unpacked failed (`GrowingFile.fail`). The reason is reported by the writer. */
export class SourceFailedError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_SOURCE_FAILED';
  constructor() {
    super('writing the layer blob was aborted while it was being unpacked');
  }
}
