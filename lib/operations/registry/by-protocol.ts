import type { RegistryClient, V1Repository } from '../../registry/index.js';
import type { Reference } from '../../spec/index.js';

/**
 * Runs `v1` when the reference, the settings or an earlier answer of the host ask for protocol v1; otherwise `v2`, and
 * `v1` after it if `v2` fails because the host speaks v1 only. `reasonOf` gives the error to judge the host by (default: the
 * error itself); undefined rules v1 out. Throws what the two throw; the error of `v2` when the host does not speak v1.
 */
export async function byProtocol<T>(
  registry: Pick<RegistryClient, 'openV1'>,
  reference: Pick<Reference, 'host' | 'repository' | 'registryVersion'>,
  how: {
    readonly v2: () => Promise<T>;
    readonly v1: (repository: V1Repository) => Promise<T>;
    readonly reasonOf?: (error: unknown) => unknown;
    readonly signal: AbortSignal;
  },
): Promise<T> {
  const { v2, v1, reasonOf = (error: unknown) => error, signal } = how;
  const known = await registry.openV1(reference, { signal });
  if (known !== undefined) return v1(known);
  try {
    return await v2();
  } catch (error) {
    const found = await registry.openV1(reference, { signal, after: reasonOf(error) });
    if (found === undefined) throw error;
    return v1(found);
  }
}
