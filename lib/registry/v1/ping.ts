import { AuthenticationError } from '../../errors.js';
import type { V1Host } from './host.js';
import { v1Error } from './responses.js';
import { V1Session } from './session.js';

const MAX_ANSWER_BYTES = 64 * 1024;

/** Makes the index verify the credentials, if there are any (docker registry/auth.go). Throws as RegistryClient.ping. */
export async function pingUsers(v1: V1Host, signal: AbortSignal): Promise<void> {
  const { host } = v1.options;
  const response = await new V1Session(v1).index({ method: 'GET', path: 'users/', signal }, MAX_ANSWER_BYTES);
  if (response.status === 200 || response.status === 201) return;
  if (response.status === 403) {
    throw new AuthenticationError(`${host} reports that the account is not active`, {
      host,
      hint: 'confirm the e-mail address of the account, or ask the administrator',
    });
  }
  throw v1Error(response, { method: 'GET', host, kind: 'repository', subject: 'its users' });
}
