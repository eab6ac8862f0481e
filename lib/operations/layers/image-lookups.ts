import { ImgtoolError } from '../../errors.js';
import { formatPlatform, parsePlatform, type Platform } from '../../spec/index.js';

/** Looks up images by name, each once for each platform. */
export class ImageLookups<Image> {
  readonly #platform: Platform;
  readonly #look: (name: string, platform: Platform) => Promise<Image>;
  readonly #found = new Map<string, Promise<Image>>();

  /** `platform`: the default. */
  constructor(platform: Platform, look: (name: string, platform: Platform) => Promise<Image>) {
    this.#platform = platform;
    this.#look = look;
  }

  /** Throws as the constructor's `look`, with the name of the image in the message. */
  find(name: string, platform?: string): Promise<Image> {
    const wanted = platform === undefined ? this.#platform : parsePlatform(platform);
    const key = `${formatPlatform(wanted)} ${name}`;
    let image = this.#found.get(key);
    if (image === undefined) {
      image = this.#look(name, wanted).catch((error: unknown) => {
        if (error instanceof ImgtoolError && !error.message.includes(name))
          error.message = `image ${name}: ${error.message}`;
        throw error;
      });
      this.#found.set(key, image);
      // May be awaited later.
      image.catch(() => undefined);
    }
    return image;
  }

  /** Waits until no lookup is under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#found.values());
  }
}
