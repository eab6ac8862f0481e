import type { Endpoint } from './endpoint.js';
import { responseError, isPage, notARegistryError, type Asked } from './responses.js';

const MAX_ANSWER_BYTES = 64 * 1024;

/** GET of the API's base (distribution-spec, "Determining Support"). Throws as RegistryClient.ping. */
export async function ping(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
  const { host } = endpoint;
  const request = { method: 'GET', path: '/v2/', scope: { host, actions: 'pull' }, signal } as const;
  const response = await endpoint.request(request, MAX_ANSWER_BYTES);
  const asked: Asked = { method: 'GET', host, repository: '', kind: 'repository', subject: 'its base' };
  if (isPage(response)) throw notARegistryError(response, asked);
  if (response.status !== 200) throw responseError(response, asked);
}
