/** Thrown inside a worker that was asked to stop. Never reaches a caller. */
export class StoppedError extends Error {
  constructor() {
    super('stopped');
    this.name = 'StoppedError';
  }
}
