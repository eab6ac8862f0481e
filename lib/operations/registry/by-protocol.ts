import type { RegistryClient, V1Repository } from '../../registry/index.js';
import type { Reference } from '../../spec/index.js';

/**
 * Runs `v1` if the reference, the settings or an earlier response of the host require protocol v1. Otherwise runs `v2`,
 * and then `v1` if `v2` fails because the host only speaks v1. `reasonOf` selects the error by which the host is judged
 * (default: the error itself); undefined excludes v1. Throws the errors of both; the error of `v2` if the host does not
 * speak v1.
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
