import { createHash, randomUUID, type Hash } from 'node:crypto';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beginPayloadChecksum, digestFrom, type Digest } from '../../spec/index.js';
import { KeyedMutex, namesIn, readIfPresent, unless } from '../../util/index.js';
import type { DirectoryLayout } from '../directory-layout.js';
import { replaceFile, syncDirectories } from '../file-operations.js';
import { inspectLayer } from './inspect-layer.js';
import type { StoredV1Image, V1Layer, V1Storage, V1Writer } from './types.js';
import type { OpenBlob } from '../open-blob.js';

/** Publishes a file as a shared blob and links it to `link`. */
type Publish = (file: string, digest: Digest, link: string) => Promise<void>;

/**
 * The v1 images of a registry directory, one directory each: `json`, `layer` (a hard link to the blob), `layer.json`
 * (facts about it), `complete` (an empty file, written last).
 */
export class DirectoryV1 implements V1Storage {
  readonly #layout: DirectoryLayout;
  readonly writer?: V1Writer;

  constructor(layout: DirectoryLayout, publish?: Publish) {
    this.#layout = layout;
    if (publish !== undefined) this.writer = new DirectoryV1Writer(layout, this, publish);
  }

  async find(id: string): Promise<StoredV1Image | undefined> {
    const directory = this.#layout.v1Image(id);
    const json = await readIfPresent(join(directory, 'json'));
    if (json === undefined) return undefined;
    const layer = await readIfPresent(join(directory, 'layer.json'));
    const complete = (await unless(stat(join(directory, 'complete')))) !== undefined;
    return { json, complete, ...(layer === undefined ? {} : { layer: JSON.parse(layer.toString()) as V1Layer }) };
  }

  async openLayer(id: string): Promise<OpenBlob | undefined> {
    const handle = await unless(open(join(this.#layout.v1Image(id), 'layer'), 'r'));
    return handle === undefined ? undefined : { handle, size: (await handle.stat()).size };
  }

  async imageOf(repository: string, manifest: Digest): Promise<string | undefined> {
    return (await readIfPresent(this.#layout.v1ImageOf(repository, manifest)))?.toString();
  }
}

class DirectoryV1Writer implements V1Writer {
  readonly #layout: DirectoryLayout;
  readonly #reader: DirectoryV1;
  readonly #publish: Publish;
  readonly #images = new KeyedMutex();

  constructor(layout: DirectoryLayout, reader: DirectoryV1, publish: Publish) {
    this.#layout = layout;
    this.#reader = reader;
    this.#publish = publish;
  }

  begin(id: string, json: Buffer): Promise<boolean> {
    return this.#images.run(id, async () => {
      if ((await this.#reader.find(id))?.complete === true) return false;
      const directory = this.#layout.v1Image(id);
      for (const name of ['layer.json', 'layer']) await rm(join(directory, name), { force: true });
      await replaceFile(join(directory, 'json'), json, this.#layout.temporary);
      return true;
    });
  }

  async putLayer(id: string, source: AsyncIterable<Buffer>): Promise<boolean> {
    const begun = await this.#reader.find(id);
    if (begun === undefined || begun.complete) return false;
    const draft = join(this.#layout.temporary, randomUUID());
    const file = await open(draft, 'wx+');
    try {
      const payload = beginPayloadChecksum(begun.json);
      const blob = createHash('sha256');
      const size = await writeAll(file, source, [payload, blob]);
      const inspected = await inspectLayer(file, new AbortController().signal);
      await file.datasync();
      const layer: V1Layer = { digest: digestFrom(blob), size, ...inspected, payloadChecksum: digestFrom(payload) };
      return await this.#images.run(id, async () => {
        const now = await this.#reader.find(id);
        // Restarted meanwhile: this layer's checksum includes another JSON.
        if (now === undefined || now.complete || !now.json.equals(begun.json)) return false;
        const directory = this.#layout.v1Image(id);
        await rm(join(directory, 'layer'), { force: true });
        await this.#publish(draft, layer.digest, join(directory, 'layer'));
        await replaceFile(join(directory, 'layer.json'), JSON.stringify(layer), this.#layout.temporary);
        return true;
      });
    } finally {
      await file.close();
      await rm(draft, { force: true });
    }
  }

  complete(id: string, payloadChecksum: Digest): Promise<boolean> {
    return this.#images.run(id, async () => {
      const now = await this.#reader.find(id);
      if (now === undefined || now.complete || now.layer?.payloadChecksum !== payloadChecksum) return false;
      const directory = this.#layout.v1Image(id);
      await syncDirectories([directory, this.#layout.sharedBlobs('sha256')]);
      await replaceFile(join(directory, 'complete'), '', this.#layout.temporary);
      await syncDirectories([directory, dirname(directory)]);
      return true;
    });
  }

  async setImageOf(repository: string, manifest: Digest, id: string): Promise<void> {
    await replaceFile(this.#layout.v1ImageOf(repository, manifest), id, this.#layout.temporary);
  }
}

/** Removes the unfinished images that have been idle since `deadlineMs` (ms since 1970). */
export async function expireV1Images(layout: DirectoryLayout, deadlineMs: number): Promise<void> {
  for (const id of await namesIn(layout.v1Images)) {
    const directory = layout.v1Image(id);
    const age = await unless(stat(directory));
    if (age === undefined || age.mtimeMs >= deadlineMs) continue;
    if ((await unless(stat(join(directory, 'complete')))) !== undefined) continue;
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeAll(file: FileHandle, source: AsyncIterable<Buffer>, hashes: readonly Hash[]): Promise<number> {
  let size = 0;
  for await (const chunk of source) {
    for (const hash of hashes) hash.update(chunk);
    // A single write may be incomplete.
    await file.writeFile(chunk);
    size += chunk.length;
  }
  return size;
}
