import type { Descriptor } from './descriptor.js';
import { digestHex, digestOf, type Digest } from './digest.js';

/** An image (its ID is the digest of its config) with one of its manifests, and the index of that manifest. */
export interface ImageForm {
  readonly id: Digest;
  readonly manifest: Descriptor;
  readonly index?: Descriptor;
}

/** Reports whether both forms are the same image with the same manifest and index. */
export function isSameForm(a: ImageForm, b: ImageForm): boolean {
  return formKey(a) === formKey(b);
}

/** 64 hex digits that identify a form. */
export function formKey({ id, manifest, index }: ImageForm): string {
  return digestHex(digestOf(`${id} ${manifest.digest} ${index?.digest ?? ''}`));
}
