import type { Asked } from './responses.js';
import type { V1Session } from './session.js';

/** An open repository, as its operations share it. */
export interface V1Place {
  readonly session: V1Session;
  /** As the user wrote it; for messages. */
  readonly repository: string;
  /** As used in URLs, with its namespace. */
  readonly path: string;
}

/** A request for one image, as messages describe it. */
export function imageAsked({ session }: V1Place, id: string, method = 'GET'): Asked {
  return { method, host: session.host.options.host, kind: 'image', subject: id };
}
