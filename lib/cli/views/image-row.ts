import type { ImageSummary } from '../../operations/index.js';
import { digestHex, familiarReference, parseReference } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import { goTime } from './times.js';

/** Headings of `table` templates that differ from the field's name. */
export const IMAGE_HEADINGS: Readonly<Record<string, string>> = {
  ID: 'IMAGE ID',
  Id: 'IMAGE ID',
  CreatedSince: 'CREATED',
};

/** Rows of `images` with the field names of docker and podman: one for each name of an image. */
export function imageRows(image: ImageSummary, { noTrunc }: { readonly noTrunc: boolean }): object[] {
  const names = image.names.length === 0 ? [undefined] : image.names;
  const labels = new Map(Object.entries(image.labels ?? {}));
  return names.map((name) => {
    const { repository, tag } = splitName(name);
    return {
      ID: noTrunc ? image.id : digestHex(image.id).slice(0, 12),
      Repository: repository,
      Tag: tag,
      Digest: image.digest,
      CreatedSince: formatAge(image.created),
      CreatedAt: goTime(image.created),
      Size: formatSize(image.size),
      Containers: String(image.containers),
      SharedSize: formatSize(image.size - image.exclusiveSize),
      UniqueSize: formatSize(image.exclusiveSize),
      VirtualSize: formatSize(image.size),
      Id: digestHex(image.id),
      Names: image.names,
      RepoTags: image.names,
      RepoDigests: repoDigests(image),
      Created: image.created ?? '',
      Pulled: image.pulled,
      Platform: image.platform,
      Os: image.platform.split('/')[0]!,
      Arch: image.platform.split('/')[1] ?? '',
      Layers: image.layers,
      Labels: labels,
      Label: (key: unknown) => labels.get(String(key)) ?? '',
      Dangling: image.names.length === 0,
      ReadOnly: false,
    };
  });
}

function splitName(name: string | undefined): { readonly repository: string; readonly tag: string } {
  if (name === undefined) return { repository: '<none>', tag: '<none>' };
  const { tag = '<none>', ...reference } = parseReference(name);
  const repository = familiarReference({ ...reference, tag: 'x' }).slice(0, -2);
  return { repository, tag };
}

function repoDigests({ names, digest }: ImageSummary): string[] {
  const places = names.map((name) => {
    const { host, repository } = parseReference(name);
    return `${host}/${repository}@${digest}`;
  });
  return [...new Set(places)];
}
