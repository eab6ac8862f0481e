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
    'TARGET is a container, or an image of which a container is made. Without CMD the command of the image runs. Standard ' +
    'input, output and error are those of the command, with a terminal when input and output are one; signals are passed ' +
    'on. The exit code is that of the command; 125 when it could not be started, 126 when it is not executable, 127 when ' +
    'it is not there. Needs crun or runc.',
  arguments: [
    { name: 'TARGET', summary: 'container or image: name, ID or unique prefix of one', completes: 'container' },
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
    { name: 'rm', default: false, summary: 'remove the container when the command has ended' },
    { name: 'name', value: 'NAME', summary: 'name of the container that is made of an image' },
    { name: 'env', short: 'e', value: 'K=V', repeat: true, summary: 'variable; K alone takes its value from here' },
    { name: 'workdir', short: 'w', value: 'DIR', summary: 'working directory in the container' },
    { name: 'user', short: 'u', value: 'USER', summary: 'USER[:GROUP], names or numbers' },
    {
      name: 'volume',
      short: 'v',
      value: 'A:B[:ro]',
      repeat: true,
      summary: 'mount directory or file A of this machine at B',
    },
    {
      name: 'network',
      value: 'MODE',
      choices: ['host', 'none'],
      default: 'host',
      summary: 'network of this machine, or none but a loopback device',
    },
    { name: 'entrypoint', value: 'CMD', summary: "program in place of the image's entry point; empty for none" },
    {
      name: 'security-opt',
      value: 'OPT',
      summary: "seccomp=FILE: filter system calls by a profile in Docker's format; seccomp=unconfined: not at all",
    },
    { name: 'interactive', short: 'i', default: false, summary: 'as always: standard input is that of the command' },
    { name: 'tty', short: 't', default: false, summary: 'as always: a terminal where input and output are one' },
    {
      name: 'pull',
      value: 'WHEN',
      choices: ['missing', 'always', 'never'],
      default: 'missing',
      summary: 'when the image is fetched from its registry before',
    },
    RESERVE,
    {
      name: 'runtime',
      value: 'PROGRAM',
      program: true,
      summary: 'OCI runtime: name or path; crun or runc when not given',
    },
  ],
  examples: [
    { command: 'imgtool run box apt-get install -y curl', does: 'change a container; "imgtool diff box" shows how' },
    { command: 'imgtool run --rm -v "$PWD:/src" -w /src golang:1.22 go test ./...', does: 'a tool from an image' },
    { command: 'imgtool run --rm --network none -u nobody alpine id', does: 'without network, as another user' },
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
