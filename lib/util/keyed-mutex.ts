/** Runs tasks of one key one after the other, tasks of different keys side by side; holds no memory for idle keys. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `task` once all earlier tasks of `key` have settled; settles as `task` does. */
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
