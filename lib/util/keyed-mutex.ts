/** Runs tasks with the same key one after another, and tasks with different keys concurrently. Uses no memory for idle keys. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `task` after all earlier tasks with `key` have settled, and settles with its result. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const earlier = this.#tails.get(key);
    const mine = (async (): Promise<T> => {
      await earlier?.catch(() => undefined);
      return task();
    })();
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }
}
