import { NotFoundError } from '../../errors.js';
import type { Reference } from '../../spec/index.js';
import { byProtocol, measureTraffic } from '../registry/index.js';
import { planPushV1, pushV1 } from './push-v1.js';
import { planPushV2, pushV2 } from './push-v2.js';
import type { PushDeps, PushPlan, PushRequest, PushResult } from './push-request.js';

/**
 * Pushes an image: all blobs, each asked for once, then the manifest with its bytes as they are (unless another format or
 * compression is asked for), the tags last. Running again resumes. A layer of whose blob no copy is left is packed again.
 * Throws NotFoundError (no copy of a blob, and no files to pack), InvalidReferenceError (the digest in the reference is
 * another), what `copyImage` and the registry throw.
 */
export async function pushImage(deps: PushDeps, request: PushRequest): Promise<PushResult> {
  const traffic = measureTraffic([deps.registry]);
  const { signal } = request;
  const pushed = await byProtocol(deps.registry, targetOf(request), {
    v2: () => pushV2(deps, request),
    v1: (repository) => pushV1(deps, repository, request),
    reasonOf: (error) => reasonForV1(request, error),
    signal,
  });
  const { bytesSent, requests, seconds } = traffic();
  return { ...pushed, bytes: bytesSent, requests, seconds };
}

/** Asks for what is there, at the target and where blobs may be mounted from; changes nothing. Throws as `pushImage`. */
export async function planPush(deps: PushDeps, request: PushRequest): Promise<PushPlan> {
  const { signal } = request;
  return byProtocol(deps.registry, targetOf(request), {
    v2: async () => {
      const plan = await planPushV2(deps, request);
      if (plan.presentBytes + plan.mountBytes > 0) return plan;
      // A host that does not speak v2 at all has nothing of the image either.
      const none = new NotFoundError('nothing of the image is there', { kind: 'repository', subject: plan.reference });
      const after = reasonForV1(request, none);
      const v1 = await deps.registry.openV1(request.reference, { signal, after });
      return v1 === undefined ? plan : planPushV1(deps, v1, request);
    },
    v1: (repository) => planPushV1(deps, repository, request),
    reasonOf: (error) => reasonForV1(request, error),
    signal,
  });
}

function targetOf({ reference, format }: PushRequest): Reference {
  return format === 'v1' ? { ...reference, registryVersion: 1 } : reference;
}

/**
 * What a failed push by v2 tells about the host: nothing when the form asked for exists in v2 only. Where there is no v2
 * registry at all, it is a blob that is not found.
 */
function reasonForV1({ format, compression }: PushRequest, error: unknown): unknown {
  if (format !== undefined || compression !== undefined) return undefined;
  if (!(error instanceof NotFoundError)) return error;
  return new NotFoundError(error.message, { kind: 'repository', subject: error.subject, cause: error });
}
