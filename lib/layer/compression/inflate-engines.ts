import { createRequire } from 'node:module';
import { IsalInflate } from '../../sys/index.js';
import type { InflateEngine, InflateStep } from './inflate-engine.js';
import { NodeInflate } from './node-inflate.js';
import { ZlibSyncInflate, type ZlibSyncModule } from './zlib-sync-inflate.js';

/** The inflate engines, best first. */
export const INFLATE_ENGINES = ['isal', 'zlib-sync', 'node'] as const;
export type InflateEngineName = (typeof INFLATE_ENGINES)[number];

class IsalEngine implements InflateEngine {
  readonly takesTrailer = true;
  readonly #isal: IsalInflate;
  constructor(isal: IsalInflate) {
    this.#isal = isal;
  }
  get done(): boolean {
    return this.#isal.done;
  }
  reset(): void {
    this.#isal.reset();
  }
  step(step: InflateStep): string | undefined {
    const problem = this.#isal.step(
      step.inputAddress + step.inputStart,
      step.inputEnd - step.inputStart,
      step.outputAddress + step.outputStart,
      step.outputEnd - step.outputStart,
    );
    step.inputStart += this.#isal.consumed;
    step.outputStart += this.#isal.produced;
    return problem;
  }
}

function loadZlibSync(): ZlibSyncInflate | undefined {
  try {
    return new ZlibSyncInflate(createRequire(import.meta.url)('zlib-sync') as ZlibSyncModule);
  } catch {
    return undefined;
  }
}

function loadIsal(): IsalEngine | undefined {
  const isal = IsalInflate.load();
  return isal && new IsalEngine(isal);
}

const LOADERS: Readonly<Record<InflateEngineName, () => InflateEngine | undefined>> = {
  isal: loadIsal,
  'zlib-sync': loadZlibSync,
  node: () => new NodeInflate(),
};

/** The named engine, or the first that loads. Throws when the named one cannot be loaded. */
export function loadInflateEngine(name?: InflateEngineName): InflateEngine {
  for (const candidate of name === undefined ? INFLATE_ENGINES : [name]) {
    const engine = LOADERS[candidate]();
    if (engine !== undefined) return engine;
  }
  throw new Error(`cannot load the inflate engine ${name}`);
}
