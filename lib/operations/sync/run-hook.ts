import { NotFoundError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { RegistryDestination } from '../copy/index.js';
import { findTag } from '../registry/index.js';
import type { Mirror } from './mirror.js';
import type { SyncRun } from './sync-run.js';

/** A hook and the tag that it is run for. */
interface HookCall {
  /** Program and arguments. Empty: no hook. */
  readonly words: readonly string[];
  /** `host/repository`. */
  readonly source: string;
  readonly tag: string;
}

/** The hook of a mirror for a tag. */
export function hookFor({ rule, name }: Mirror, tag: string): HookCall {
  return { words: rule.hook, source: name, tag };
}

/**
 * Runs the hook for a tag that has been copied to `target` (`host/repository`). Records its failure as one of the tag.
 * Throws AbortError.
 */
export async function runHook(
  run: SyncRun,
  { words, source, tag }: HookCall,
  { target, digest }: { readonly target: string; readonly digest: Digest },
): Promise<void> {
  const values: Readonly<Record<string, string>> = {
    source: `${source}:${tag}`,
    target: `${target}:${tag}`,
    tag,
    digest,
  };
  const [program, ...rest] = words.map((word) =>
    word.replace(/\{(source|target|tag|digest)\}/g, (_all, key: string) => values[key]!),
  );
  if (program === undefined) return;
  try {
    await run.deps.runHook([program, ...rest], run.signal);
  } catch (error) {
    run.signal.throwIfAborted();
    run.fail({ source, target, tag }, error);
  }
}

/** Like `runHook`, for a tag that a worker claims to have copied. The hook gets the digest that the target reports. */
export async function runHookIfThere(
  run: SyncRun,
  call: HookCall,
  { reader }: Pick<RegistryDestination, 'reader'>,
): Promise<void> {
  const { source, tag } = call;
  const target = `${reader.host}/${reader.repository}`;
  let digest: Digest | undefined;
  try {
    digest = (await findTag(reader, tag, run.signal))?.digest;
    if (digest === undefined) {
      throw new NotFoundError(`${target} has no tag ${tag}, although a worker says that it has copied it`, {
        ...{ kind: 'tag', subject: tag },
        hint: 'check who can write to the queue',
      });
    }
  } catch (error) {
    run.signal.throwIfAborted();
    return run.fail({ source, target, tag }, error);
  }
  await runHook(run, call, { target, digest });
}
