import { NotFoundError } from '../../errors.js';
import type { Reference } from '../../spec/index.js';
import { byProtocol, measureTraffic } from '../registry/index.js';
import { planPushV1, pushV1 } from './push-v1.js';
import { planPushV2, pushV2 } from './push-v2.js';
import type { PushDeps, PushPlan, PushRequest, PushResult } from './push-request.js';

/**
 * Pushes an image: blobs, each queried once, then the manifest, unchanged unless another format or compression is
 * requested, and the tags last. A second run resumes. A layer without a copy of its blob is repacked. Throws
 * NotFoundError (neither blob nor files of a layer), InvalidReferenceError (a different digest in the reference), the
 * errors of `copyImage` and the registry.
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

/** Plans a push: queries the target and the repositories to mount from, without changing anything. Throws the errors of `pushImage`. */
export async function planPush(deps: PushDeps, request: PushRequest): Promise<PushPlan> {
  const { signal } = request;
  return byProtocol(deps.registry, targetOf(request), {
    v2: async () => {
      const plan = await planPushV2(deps, request);
      if (plan.presentBytes + plan.mountBytes > 0) return plan;
      // A host without v2 has nothing of the image.
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
 * The reason in a failed v2 push to try v1; undefined if the requested format exists only in v2. Without any v2
 * registry, the error is a blob not found.
 */
function reasonForV1({ format, compression }: PushRequest, error: unknown): unknown {
  if (format !== undefined || compression !== undefined) return undefined;
  if (!(error instanceof NotFoundError)) return error;
  return new NotFoundError(error.message, { kind: 'repository', subject: error.subject, cause: error });
}
