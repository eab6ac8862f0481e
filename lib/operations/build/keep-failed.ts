import type { OperationDeps } from '../deps.js';
import type { LayerPacker } from './layer-packer.js';
import type { StageState } from './stage-state.js';
import type { BuildRequest } from './types.js';
import { writeImage } from './write-image.js';

/**
 * Turns the files `container` of a failed RUN into a container, on an unnamed image of the previous steps. Resolves
 * with the container's name. Throws the errors of packing.
 */
export async function keepFailed(
  deps: Pick<OperationDeps, 'content' | 'metadata' | 'snapshots'>,
  {
    state,
    container,
    packer,
  }: { readonly state: StageState; readonly container: string; readonly packer: LayerPacker },
  request: BuildRequest,
): Promise<string> {
  const layers = await packer.finish(state.layers);
  const nameless = { ...request, references: [], labels: new Map(), annotations: new Map(), squash: false };
  const image = await writeImage(deps, state, { layers, request: nameless });
  const name = `failed_${container.slice(0, 12)}`;
  const base = image.chainIds.at(-1);
  await deps.metadata.containers.put(container, {
    version: 1,
    id: container,
    name,
    image: image.id,
    imageName: image.id,
    ...(base === undefined ? {} : { base }),
    created: new Date().toISOString(),
  });
  return name;
}
