import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { ImgtoolError, NotFoundError, UsageError } from '../../errors.js';
import type { RunRequest } from '../../operations/index.js';
import { hostPlatform, parseReference } from '../../spec/index.js';
import type { CommandContext, CommandSpec } from '../command.js';
import { RESERVE } from './common-options.js';
import { pullReference } from './pull.js';

export const run: CommandSpec = {
  path: ['run'],
  group: 'Containers',
  summary: 'run a command in a container',
  description:
    'TARGET is a container, or an image from which a container is created. Without CMD the command of the image runs. Standard ' +
    'input, output and error are passed to the command, with a terminal if input and output are one; signals are passed ' +
    'on. The exit code is that of the command, or 125 if it could not be started, 126 if it is not executable, 127 if ' +
    'it is not found. Requires crun or runc.',
  arguments: [
    { name: 'TARGET', summary: 'container or image: name, ID or unique ID prefix', completes: 'container' },
    { name: 'CMD', summary: 'the command and its arguments; options end at TARGET', optional: true, variadic: true },
  ],
  optionsFirst: true,
  refuses: {
    '-d': 'a command runs in the foreground: write & behind it, or use a service manager',
    '--detach': 'a command runs in the foreground: write & behind it, or use a service manager',
    '-p': 'the network is that of this machine (--network host): the ports of the command are here already',
    '--publish': 'the network is that of this machine (--network host): the ports of the command are here already',
  },
  options: [
    { name: 'rm', default: false, summary: 'remove the container after the command has exited' },
    { name: 'name', value: 'NAME', summary: 'name of the container that is created from an image' },
    { name: 'env', short: 'e', value: 'K=V', repeat: true, summary: 'environment variable; K alone is passed on' },
    { name: 'workdir', short: 'w', value: 'DIR', summary: 'working directory in the container' },
    { name: 'user', short: 'u', value: 'USER', summary: 'USER[:GROUP], as names or IDs' },
    {
      name: 'volume',
      short: 'v',
      value: 'A:B[:ro]',
      repeat: true,
      summary: 'mount the host directory or file A at B',
    },
    {
      name: 'network',
      value: 'MODE',
      choices: ['host', 'none'],
      default: 'host',
      summary: 'host: the network of this machine; none: only a loopback device',
    },
    { name: 'entrypoint', value: 'CMD', summary: "program to use instead of the image's entry point; empty: none" },
    {
      name: 'security-opt',
      value: 'OPT',
      summary: "seccomp=FILE: seccomp profile in Docker's format; seccomp=unconfined: no filter",
    },
    { name: 'interactive', short: 'i', default: false, summary: 'no effect: standard input is always passed on' },
    { name: 'tty', short: 't', default: false, summary: 'no effect: a terminal is used if there is one' },
    {
      name: 'pull',
      value: 'WHEN',
      choices: ['missing', 'always', 'never'],
      default: 'missing',
      summary: 'when to pull the image first',
    },
    RESERVE,
    {
      name: 'runtime',
      value: 'PROGRAM',
      program: true,
      summary: 'name or path of the OCI runtime; default: crun, else runc',
    },
  ],
  examples: [
    { command: 'imgtool run box apt-get install -y curl', does: 'change a container; see "imgtool diff box"' },
    { command: 'imgtool run --rm -v "$PWD:/src" -w /src golang:1.22 go test ./...', does: 'run a tool from an image' },
    { command: 'imgtool run --rm --network none -u nobody alpine id', does: 'without network and as another user' },
  ],
  async run(context) {
    const { args, options, signal, compose, takeSignals } = context;
    const { runInContainer } = await import('../../operations/index.js');
    await pullIfWanted(context, args[0]!);
    const entrypoint = options.text('entrypoint');
    const exitCode = await runInContainer(await compose.local(), {
      target: args[0]!,
      command: args.slice(1),
      name: options.text('name'),
      remove: options.flag('rm'),
      ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
      env: options.list('env'),
      workdir: options.text('workdir'),
      user: options.text('user'),
      volumes: options.list('volume').map(parseVolume),
      network: options.text('network') === 'none' ? 'none' : 'host',
      seccomp: await readSeccomp(options.text('security-opt')),
      program: options.text('runtime'),
      terminal: isatty(0) && isatty(1),
      takeSignals,
      bootId: await compose.bootId(),
      signal,
    });
    return { exitCode };
  },
};

/** Fetches the image that is to run, unless TARGET is a container. Throws NotFoundError when that cannot be. */
async function pullIfWanted(context: CommandContext, target: string): Promise<void> {
  const { options, compose } = context;
  const when = options.text('pull');
  if (when === 'never') return;
  const { findContainer, findImage } = await import('../../operations/index.js');
  const local = await compose.local();
  if (await isThere(findContainer(local, target))) return;
  if (when === 'missing' && (await isThere(findImage(local, target)))) return;
  const reference = parseReference(await compose.fullName(target));
  const platform = { platform: hostPlatform(), platformGiven: false };
  const request = { reference, ...platform, policy: 'always', reserveBytes: options.number('reserve')! } as const;
  try {
    await pullReference(context, request);
  } catch (error) {
    // A bare word is as likely a container's name with a mistake in it.
    if (hasRegistry(target) || context.signal.aborted || !(error instanceof ImgtoolError)) throw error;
    throw new NotFoundError(`there is no container or image ${target} here, nor can it be pulled: ${error.message}`, {
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
    throw new UsageError(`${JSON.stringify(text.slice(0, 200))} is no volume`, {
      hint: 'write PATH-HERE:/PATH-IN-THE-CONTAINER, with :ro for one that is not written to',
    });
  }
  return { source: resolve(source), target, readOnly: mode === 'ro' };
}
