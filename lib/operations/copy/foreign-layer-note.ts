import type { Descriptor } from '../../spec/index.js';

/** What is said of a layer that is not uploaded because its manifest says where it is. */
export function foreignLayerNote({ digest, urls = [] }: Descriptor): string {
  const hosts = urls.filter((url) => URL.canParse(url)).map((url) => new URL(url).host);
  return `layer ${digest} is not uploaded: it is kept elsewhere by design, at ${(hosts[0] ?? 'no URL').slice(0, 300)}`;
}
