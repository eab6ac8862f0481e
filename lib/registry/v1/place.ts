import type { Asked } from './responses.js';
import type { V1Session } from './session.js';

/** The parts of an open repository that all that is done with it share. */
export interface V1Place {
  readonly session: V1Session;
  /** As the user wrote it, for messages. */
  readonly repository: string;
  /** As it stands in URLs: with its namespace. */
  readonly path: string;
}

/** What is asked about one image, for messages. */
export function imageAsked({ session }: V1Place, id: string, method = 'GET'): Asked {
  return { method, host: session.host.options.host, kind: 'image', subject: id };
}
