import { instructionError, type ResolvedStage } from '../../dockerfile/index.js';
import { NotFoundError, UsageError } from '../../errors.js';
import type { ImageRecord } from '../../metadata/index.js';
import {
  formatReference,
  parseReference,
  parseTransportName,
  platformScore,
  type ImageConfig,
  type ImageSelector,
  type Platform,
  platformFrom,
  splitPlatform,
} from '../../spec/index.js';
import { ifFound } from '../../util/index.js';
import type { BuildSources } from '../build-context/index.js';
import { withStoreDestination } from '../copy/index.js';
import { ImageLookups, restoreLayers } from '../layers/index.js';
import type { TagOrDigest } from '../../registry/index.js';
import { pullImage } from '../pull/index.js';
import { resolveImage } from '../registry/index.js';
import { findImage, readImageConfig } from '../store/index.js';
import type { StageBase } from './stage-state.js';
import type { BuildDeps, BuildRequest } from './types.js';

/** Default free space to keep when fetching a base, in bytes. */
const RESERVE = 2 ** 30;

type BaseRequest = Pick<BuildRequest, 'platform' | 'pull' | 'reserveBytes' | 'signal'>;

/** The base images of stages. */
export class BaseImages {
  readonly #deps: BuildDeps;
  readonly #request: BaseRequest;
  readonly #lookups: ImageLookups<StageBase>;

  constructor(deps: BuildDeps, request: BaseRequest) {
    this.#deps = deps;
    this.#request = request;
    this.#lookups = new ImageLookups(request.platform, (name, platform) => this.#resolve(name, platform));
  }

  /**
   * Finds the base image of a stage in the store, or fetches it. `platform`: of FROM, as text. Throws NotFoundError,
   * UsageError and the errors of a pull.
   */
  find(reference: string, platform?: string): Promise<StageBase> {
    return this.#lookups.find(reference, platform);
  }

  async #resolve(reference: string, platform: Platform): Promise<StageBase> {
    const { signal } = this.#request;
    const record = isLayout(reference)
      ? await this.#fromLayout(reference, platform)
      : ((await this.#inStore(reference, platform)) ?? (await this.#fetch(reference, platform)));
    await restoreLayers(this.#deps, record, { signal });
    const config = await readImageConfig(this.#deps, record);
    const top = record.chainIds.at(-1);
    return {
      config,
      platform: platformOf(config),
      tree: top === undefined ? undefined : { subvolume: top, key: top },
      layers: record.layers.map((blob, i) => ({ kind: 'base', blob, diffId: record.diffIds[i]! })),
      history: (config.history ?? []).map((entry) => ({ entry, isNew: false })),
    };
  }

  /** The image in the store, unless the pull policy asks for a registry. */
  async #inStore(reference: string, platform: Platform): Promise<ImageRecord | undefined> {
    if (this.#request.pull !== 'missing' && this.#request.pull !== 'never') return undefined;
    const found = await ifFound(findImage(this.#deps, reference));
    if (found === undefined) return undefined;
    return platformScore(platform, splitPlatform(found.record.platform)) > 0 ? found.record : undefined;
  }

  /** Loads an image of an OCI layout into the store, without a name. */
  async #fromLayout(name: string, platform: Platform): Promise<ImageRecord> {
    const { reserveBytes = RESERVE, signal } = this.#request;
    const place = parseTransportName(name);
    if (place.transport !== 'oci') throw new UsageError(`${name} is no OCI layout`);
    const source = await this.#deps.openSource(place, { signal });
    try {
      const reader = { manifest: (asked: ImageSelector) => source.manifest(asked, { signal }) };
      // An empty selector means the only image of a layout.
      const selector = { tag: place.tag } as TagOrDigest;
      const document = await resolveImage(reader, selector, { platform, signal });
      return await withStoreDestination(this.#deps, { reserveBytes, signal }, async (store) => {
        await store.begin();
        const how = { platform, platformGiven: true, keepBlobs: true };
        const { image } = await store.fetch(source, document, how);
        // The layout may no longer exist after a power cut.
        await this.#deps.snapshots.sync();
        return store.record(image);
      });
    } finally {
      await source.close();
    }
  }

  async #fetch(name: string, platform: Platform): Promise<ImageRecord> {
    const { pull, reserveBytes = RESERVE, signal } = this.#request;
    const reference = parseReference((await this.#deps.fullName?.(name)) ?? name);
    const how = { platform, platformGiven: true, policy: pull, reserveBytes, signal };
    const { id, digest } = await pullImage(this.#deps, { reference, ...how });
    const record = (await this.#deps.metadata.images.ofImage(id)).find(({ manifest }) => manifest.digest === digest);
    if (record !== undefined) return record;
    throw new NotFoundError(`the image ${formatReference(reference)} was removed while it was to be built on`, {
      kind: 'image',
      subject: name,
    });
  }
}

/** The base image of a stage; undefined for another stage or scratch. Throws DockerfileError and the errors of finding it. */
export async function imageBaseOf<Image>(
  { base, platform, stage }: ResolvedStage,
  {
    images,
    sources,
  }: {
    readonly images: { find(reference: string, platform?: string): Promise<Image> };
    readonly sources: Pick<BuildSources, 'imageOf'>;
  },
): Promise<Image | undefined> {
  if (base.kind === 'image') return images.find(base.reference, platform);
  if (base.kind !== 'context') return undefined;
  const image = sources.imageOf(base.name);
  if (image !== undefined) return images.find(image, platform);
  throw instructionError(
    stage.from,
    `the build context ${base.name} is a directory, not an image`,
    `give an image: --build-context ${base.name}=docker-image://REF`,
  );
}

/** Reports whether a base is a build context of type `oci:`; no reference begins like that. */
function isLayout(reference: string): boolean {
  return reference.startsWith('oci:');
}

function platformOf(config: ImageConfig): Platform {
  if (config.os === '' || config.architecture === '') throw new UsageError('the base image does not say its platform');
  return platformFrom(config);
}
