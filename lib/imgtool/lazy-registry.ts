import type { RegistryClient } from '../registry/index.js';

const NOTHING_SENT: RegistryClient['statistics'] = { requests: 0, bytesReceived: 0, bytesSent: 0 };

/**
 * A registry client created on first use, for operations that rarely need one. `load` owns the client, so `close` does
 * nothing. After a failed `load`, the next use tries again.
 */
export function lazyRegistry(load: () => Promise<RegistryClient>): RegistryClient {
  let loaded: RegistryClient | undefined;
  const client = async (): Promise<RegistryClient> => (loaded ??= await load());
  return {
    open: async (...args) => (await client()).open(...args),
    openWriter: async (...args) => (await client()).openWriter(...args),
    openV1: async (...args) => (await client()).openV1(...args),
    foreignBlob: (descriptor) => ({
      descriptor,
      open: async (options) => (await client()).foreignBlob(descriptor).open(options),
    }),
    async *catalog(...args) {
      yield* (await client()).catalog(...args);
    },
    ping: async (...args) => (await client()).ping(...args),
    search: async (...args) => (await client()).search(...args),
    get statistics() {
      return loaded?.statistics ?? NOTHING_SENT;
    },
    close: () => Promise.resolve(),
  };
}
