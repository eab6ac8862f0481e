import type { ContainerSummary } from '../../operations/index.js';
import { digestHex } from '../../spec/index.js';
import type { ExecutionConfig } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';
import { goTime } from './times.js';

export const CONTAINER_HEADINGS: Readonly<Record<string, string>> = {
  ID: 'CONTAINER ID',
  Id: 'CONTAINER ID',
  RunningFor: 'CREATED',
};

/** A row of `containers` with the field names of docker and podman; `config`: its image's config, if known. */
export function containerRow(
  container: ContainerSummary,
  { config, noTrunc }: { readonly config: ExecutionConfig | undefined; readonly noTrunc: boolean },
): object {
  const labels = new Map(Object.entries(config?.Labels ?? {}));
  const command = [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])].join(' ');
  return {
    ID: noTrunc ? container.id : container.id.slice(0, 12),
    Image: container.imageName,
    Command: !noTrunc && command.length > 20 ? `${command.slice(0, 19)}…` : command,
    CreatedAt: goTime(container.created),
    CreatedSince: formatAge(container.created),
    RunningFor: formatAge(container.created),
    Ports: '',
    State: container.running ? 'running' : 'stopped',
    Status: container.running ? 'Up' : 'Stopped',
    Size: `${formatSize(container.exclusiveSize)} (virtual ${formatSize(container.size + container.exclusiveSize)})`,
    Names: container.names.join(','),
    Labels: [...labels].map(([key, value]) => `${key}=${value}`).join(','),
    Label: (key: unknown) => labels.get(String(key)) ?? '',
    Mounts: '',
    Networks: '',
    Id: container.id,
    ImageID: digestHex(container.image),
    Created: container.created,
    Path: container.path,
    Running: container.running,
  };
}
