import type { ContainerSummary, InspectedImage } from '../../operations/index.js';
import { digestHex, parseReference, type ExecutionConfig } from '../../spec/index.js';

/** An inspected image with the field names of docker, podman and skopeo. */
export function inspectedImage(
  image: InspectedImage,
  { tags }: { readonly tags?: readonly string[] | undefined } = {},
): object {
  const { digest, config } = image;
  const places = [...new Set(image.names.map(placeOf))];
  const repoDigests = [
    ...new Set([
      ...places.flatMap((place) => (digest === null ? [] : [`${place}@${digest}`])),
      ...(image.sources ?? []),
    ]),
  ];
  return {
    Id: image.id === null ? '' : digestHex(image.id),
    ID: image.id ?? '',
    Digest: digest ?? '',
    Name: places[0] ?? '',
    RepoTags: tags ?? image.names,
    RepoDigests: repoDigests,
    Parent: '',
    Comment: image.history.at(-1)?.comment ?? '',
    Created: image.created ?? '',
    Config: configView(config),
    DockerVersion: '',
    Author: image.author ?? '',
    Architecture: image.architecture,
    Os: image.os,
    Platform: image.platform,
    Platforms: image.platforms ?? [],
    Size: image.size,
    VirtualSize: image.size,
    ExclusiveSize: image.exclusiveSize ?? 0,
    GraphDriver: { Name: 'btrfs', Data: new Map() },
    RootFS: { Type: 'layers', Layers: image.layers.flatMap(({ diffId }) => diffId ?? []) },
    Labels: mapOf(config?.Labels),
    User: config?.User ?? '',
    Env: config?.Env ?? [],
    ManifestType: image.mediaType,
    MediaType: image.mediaType,
    Layers: image.layers.flatMap(({ digest: blob }) => blob ?? []),
    LayersData: image.layers.map(({ digest: blob, mediaType, size }) => ({
      MIMEType: mediaType,
      Digest: blob ?? '',
      Size: size,
    })),
    History: image.history.map((step) => ({
      created: step.created ?? '',
      created_by: step.created_by ?? '',
      comment: step.comment ?? '',
      empty_layer: step.empty_layer ?? false,
    })),
  };
}

/** An inspected container with the field names of docker and podman. */
export function inspectedContainer(container: ContainerSummary, config: ExecutionConfig | null): object {
  const [name = ''] = container.names;
  return {
    Id: container.id,
    ID: container.id,
    Name: name,
    Names: container.names,
    Created: container.created,
    Image: digestHex(container.image),
    ImageName: container.imageName,
    ImageDigest: container.digest ?? '',
    State: {
      Status: container.running ? 'running' : 'stopped',
      Running: container.running,
      Paused: false,
    },
    Config: { Image: container.imageName, ...configView(config) },
    SizeRw: container.exclusiveSize,
    SizeRootFs: container.size + container.exclusiveSize,
    Rootfs: container.path,
    GraphDriver: { Name: 'btrfs', Data: new Map([['MergedDir', container.path]]) },
    Mounts: [],
  };
}

function configView(config: ExecutionConfig | null | undefined) {
  return {
    User: config?.User ?? '',
    Env: config?.Env ?? [],
    Entrypoint: config?.Entrypoint ?? [],
    Cmd: config?.Cmd ?? [],
    WorkingDir: config?.WorkingDir ?? '',
    Labels: mapOf(config?.Labels),
    ExposedPorts: mapOf(config?.ExposedPorts),
    Volumes: mapOf(config?.Volumes),
    StopSignal: config?.StopSignal ?? '',
  };
}

function mapOf(object: Readonly<Record<string, unknown>> | null | undefined): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(object ?? {}).map(([key, value]) => [key, typeof value === 'string' ? value : {}]));
}

function placeOf(name: string): string {
  const { host, repository } = parseReference(name);
  return `${host}/${repository}`;
}
