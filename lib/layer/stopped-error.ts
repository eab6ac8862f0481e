/** Thrown inside a worker when it was told to stop; never reaches a caller. */
export class StoppedError extends Error {
  constructor() {
    super('stopped');
    this.name = 'StoppedError';
  }
}
