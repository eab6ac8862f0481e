import { InvalidReferenceError } from '../errors.js';
import { parseReference, type Reference } from './reference.js';

/** One end of a copy in the user's notation, which is skopeo's (containers-transports(5)). */
export type TransportName =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'docker-v1'; readonly reference: Reference }
  /** Name, ID or ID prefix of an image in the local store. */
  | { readonly transport: 'store'; readonly name: string }
  /** `tag`: the tag in a layout, or the reference in a docker-archive. */
  | {
      readonly transport: 'oci' | 'dir' | 'oci-archive' | 'docker-archive';
      readonly path: string;
      readonly tag: string | undefined;
    };

const FILES = ['oci', 'dir', 'oci-archive', 'docker-archive'] as const;

/**
 * Parses `docker://REF`, `docker-v1://REF`, `store:NAME`, `oci:DIR[:TAG]`, `dir:DIR`, `oci-archive:FILE[:TAG]`,
 * `docker-archive:FILE[:REF]`; without a transport, a reference. Throws InvalidReferenceError.
 */
export function parseTransportName(input: string): TransportName {
  if (input.startsWith('docker-v1://')) {
    return { transport: 'docker-v1', reference: parseReference(input.slice('docker-v1://'.length)) };
  }
  if (input.startsWith('store:')) {
    const name = input.slice('store:'.length);
    if (name === '') throw transportNameError(input, 'the name of the image is missing');
    return { transport: 'store', name };
  }
  const transport = FILES.find((name) => input.startsWith(`${name}:`) && !input.startsWith(`${name}://`));
  if (transport === undefined) return { transport: 'docker', reference: parseReference(input) };
  const rest = input.slice(transport.length + 1);
  // The path of dir: may contain colons, as created by skopeo sync.
  const colon = transport === 'dir' ? -1 : rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path === '') throw transportNameError(input, 'the path is missing');
  if (tag === '') throw transportNameError(input, 'the part after the second colon is missing');
  return { transport, path, tag };
}

function transportNameError(input: string, why: string): InvalidReferenceError {
  return new InvalidReferenceError(`${JSON.stringify(input.slice(0, 300))} names no image: ${why}`, {
    input,
    hint: 'write docker://REF, store:NAME, oci:DIR[:TAG], dir:DIR, oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]',
  });
}
