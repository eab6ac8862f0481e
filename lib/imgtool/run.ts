import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { ImgtoolError, NotFoundError, UsageError } from '../errors.js';
import type { RunRequest } from '../operations/index.js';
import { parseReference } from '../spec/index.js';
import { checkOptions, checkText, checkTexts, type OptionKinds } from './check-options.js';
import { RESERVING, signalOf, STOPPABLE, type Reserving, type Stoppable } from './common.js';
import type { Drivers } from './drivers.js';
import { pullReference } from './images.js';

export interface RunOptions extends Stoppable, Reserving {
  /** Removes the container when the command has ended. */
  readonly rm?: boolean | undefined;
  /** Name of the container that is made of an image. */
  readonly name?: string | undefined;
  /** `NAME=value`, or `NAME` for its value here. */
  readonly env?: readonly string[] | undefined;
  readonly workdir?: string | undefined;
  /** `USER[:GROUP]`, names or numbers. */
  readonly user?: string | undefined;
  /** `PATH-HERE:/PATH-IN-THE-CONTAINER`, with `:ro` for one that is not written to. */
  readonly volumes?: readonly string[] | undefined;
  /** Default: `host`, that of this machine. */
  readonly network?: 'host' | 'none' | undefined;
  /** Program in place of the image's entry point; empty for none. */
  readonly entrypoint?: string | undefined;
  /** `seccomp=FILE` or `seccomp=unconfined`. Default: Docker's filter. */
  readonly securityOpt?: string | undefined;
  /** When the image is fetched before. Default: `missing`. */
  readonly pull?: 'missing' | 'always' | 'never' | undefined;
  /** Name or path of the OCI runtime. Default: crun or runc. */
  readonly runtime?: string | undefined;
  /** Passes signals of this process on to the command; see `TakeSignals`. Default: none are. */
  readonly takeSignals?: RunRequest['takeSignals'] | undefined;
}

const RUN: OptionKinds<RunOptions> = {
  ...{ ...STOPPABLE, ...RESERVING, rm: 'flag', name: 'text', env: 'texts', workdir: 'text', user: 'text' },
  ...{ volumes: 'texts', network: ['host', 'none'], entrypoint: 'text', securityOpt: 'text' },
  ...{ pull: ['missing', 'always', 'never'], runtime: 'text', takeSignals: 'function' },
};

/** Exit code of the command. */
export async function runCommand(
  drivers: Drivers,
  target: string,
  command: readonly string[],
  given: RunOptions,
): Promise<number> {
  checkText('run', 'the container or image', target);
  checkTexts('run', 'the command', command);
  const options = checkOptions('run', given, RUN);
  const { entrypoint } = options;
  const { runInContainer } = await import('../operations/containers/index.js');
  await pullIfWanted(drivers, target, options);
  return runInContainer(await drivers.local(), {
    ...{ target, command, name: options.name, remove: options.rm ?? false },
    ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
    env: options.env ?? [],
    workdir: options.workdir,
    user: options.user,
    volumes: (options.volumes ?? []).map(parseVolume),
    network: options.network ?? 'host',
    seccomp: await readSeccomp(options.securityOpt),
    program: options.runtime,
    terminal: isatty(0) && isatty(1),
    takeSignals: options.takeSignals ?? (() => () => undefined),
    bootId: await drivers.bootId(),
    signal: signalOf(options),
  });
}

/** Fetches the image that is to run, unless the target is a container. Throws NotFoundError when that cannot be. */
async function pullIfWanted(drivers: Drivers, target: string, options: RunOptions): Promise<void> {
  const { pull: when = 'missing', reserve, signal } = options;
  if (when === 'never') return;
  const { findContainer, findImage } = await import('../operations/store/index.js');
  const local = await drivers.local();
  if (await isThere(findContainer(local, target))) return;
  if (when === 'missing' && (await isThere(findImage(local, target)))) return;
  const reference = parseReference(await drivers.fullName(target));
  try {
    await pullReference(drivers, reference, { reserve, signal });
  } catch (error) {
    // A bare word is as likely a container's name with a mistake in it.
    if (hasRegistry(target) || signal?.aborted === true || !(error instanceof ImgtoolError)) throw error;
    throw new NotFoundError(`there is no container or image ${target}, and it cannot be pulled: ${error.message}`, {
      kind: 'image',
      subject: target,
      hint: 'see "imgtool containers" and "imgtool images"',
      cause: error,
    });
  }
}

function hasRegistry(name: string): boolean {
  return /^([^/]*[.:][^/]*|localhost)\//.test(name);
}

async function isThere(found: Promise<unknown>): Promise<boolean> {
  try {
    await found;
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

async function readSeccomp(option: string | undefined): Promise<RunRequest['seccomp']> {
  if (option === undefined) return undefined;
  const value = /^seccomp=(.+)$/.exec(option)?.[1];
  if (value === undefined) {
    throw new UsageError(`--security-opt ${JSON.stringify(option.slice(0, 200))} is not known`, {
      hint: 'write seccomp=FILE or seccomp=unconfined',
    });
  }
  if (value === 'unconfined') return value;
  if (value === 'builtin') return undefined;
  try {
    return { profile: await readFile(value, 'utf8') };
  } catch (cause) {
    throw new UsageError(`the seccomp profile ${value} cannot be read: ${(cause as Error).message}`, {
      cause,
      hint: 'check the path; seccomp=unconfined runs without a filter',
    });
  }
}

function parseVolume(text: string): RunRequest['volumes'][number] {
  const [source, target, mode, ...more] = text.split(':');
  const known = mode === undefined || mode === 'ro' || mode === 'rw';
  if (!source || !target?.startsWith('/') || !known || more.length > 0) {
    throw new UsageError(`${JSON.stringify(text.slice(0, 200))} is not a volume`, {
      hint: 'write PATH-HERE:/PATH-IN-THE-CONTAINER, with :ro for one that is not written to',
    });
  }
  return { source: resolve(source), target, readOnly: mode === 'ro' };
}
