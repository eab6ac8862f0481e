import type { Imgtool } from '../../imgtool/index.js';
import { familiarReference, parseReference } from '../../spec/index.js';

/** A completion and the summary that some shells show for it. */
export interface Candidate {
  readonly value: string;
  readonly summary?: string;
}

const SHORT_ID = 12;

/** Names of images in the store in their short form, or IDs if `text` looks like one. */
export async function imageNames(imgtool: Imgtool, text: string): Promise<Candidate[]> {
  const images = (await (await imgtool.drivers()).records())?.metadata.images;
  return ((await images?.list()) ?? []).flatMap(({ id, names }) => {
    const familiar = names.map((name) => familiarReference(parseReference(name)));
    return [
      ...familiar.map((value) => ({ value, summary: 'image' })),
      // Full names match if the user typed the host that the short form omits.
      ...names.map((value) => ({ value, summary: 'image' })).filter(() => text.startsWith('docker.io/')),
      ...idsLike(text, id).map((value) => ({ value, summary: familiar.join(' ') || 'image without a name' })),
    ];
  });
}

/** Names of containers in the store, and IDs if `text` looks like one. */
export async function containerNames(imgtool: Imgtool, text: string): Promise<Candidate[]> {
  const containers = (await (await imgtool.drivers()).records())?.metadata.containers;
  return ((await containers?.list()) ?? []).flatMap(({ id, name, imageName }) => [
    { value: name, summary: `container of ${imageName}` },
    ...idsLike(text, id).map((value) => ({ value, summary: `container ${name}` })),
  ]);
}

/** Registries of the images in the store. */
export async function hostsOfImages(imgtool: Imgtool): Promise<string[]> {
  const images = (await (await imgtool.drivers()).records())?.metadata.images;
  return ((await images?.list()) ?? []).flatMap(({ names }) => names.map((name) => parseReference(name).host));
}

function idsLike(text: string, id: string): string[] {
  const hex = id.slice(id.indexOf(':') + 1);
  if (text.startsWith('sha256:')) return [`sha256:${hex}`];
  return /^[0-9a-f]+$/.test(text) && hex.startsWith(text) ? [hex.slice(0, Math.max(SHORT_ID, text.length))] : [];
}
