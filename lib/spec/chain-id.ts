import { digestOf, type ChainId, type DiffId } from './digest.js';

/** ChainID of a layer on `parent`; that of the bottom layer is its diffID (image-spec config.md, "Layer ChainID"). */
export function nextChainId(parent: ChainId | undefined, diffId: DiffId): ChainId {
  return (parent === undefined ? diffId : digestOf(`${parent} ${diffId}`)) as unknown as ChainId;
}

/** ChainIDs of all prefixes of `diffIds`, one each, oldest first. */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) chain.push(nextChainId(chain.at(-1), diffId));
  return chain;
}
