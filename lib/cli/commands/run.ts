import type { RunOptions } from '../../imgtool/index.js';
import { UsageError } from '../../errors.js';
import type { CommandTable } from '../command.js';
import { wholeNumber } from '../options/option.js';
import { PULL } from '../options/common.js';
import { refusing } from '../options/peers.js';
import { PLATFORM } from '../options/platform.js';
import { RESERVE } from '../options/reserve.js';

const PORTS = 'the network is that of this machine (--network host): the ports of the command are here already';

export const run: CommandTable = {
  group: 'Containers',
  summary: 'run a command in a container',
  description:
    'TARGET is a container, or an image from which a container is created. Without CMD the command of the image runs. Standard ' +
    'input, output and error are passed to the command, with a terminal if input and output are one; signals are passed ' +
    'on. The exit code is that of the command, or 125 if it could not be started, 126 if it is not executable, 127 if ' +
    'it is not found. Requires crun or runc.',
  arguments: [
    { name: 'TARGET', summary: 'container or image: name, ID or unique ID prefix', completes: ['container', 'image'] },
    { name: 'CMD', summary: 'the command and its arguments; options end at TARGET', optional: true, variadic: true },
  ],
  optionsFirst: true,
  refuses: {
    '-d': 'a command runs in the foreground: write & behind it, or use a service manager',
    '--detach': 'a command runs in the foreground: write & behind it, or use a service manager',
    ...refusing(['-p', '--publish', '-P', '--publish-all', '--expose'], PORTS),
    ...refusing(['--restart'], 'a command runs in the foreground: let a service manager restart it'),
    ...refusing(
      ['--link', '--ip', '--network-alias'],
      'there are only the network of this machine and none: --network host|none',
    ),
    ...refusing(['--device'], 'mount it: --volume /dev/X:/dev/X needs --privileged to be used'),
    ...refusing(['-l', '--label'], 'labels belong to images: imgtool mutate IMAGE --label K=V'),
    ...refusing(['--volumes-from'], 'give the same --volume again'),
    ...refusing(
      ['--memory-swap', '--cpu-shares', '--cpuset-cpus'],
      'the limits there are: --memory, --cpus, --pids-limit',
    ),
    ...refusing(
      ['--pid', '--ipc', '--uts', '--userns', '--cgroupns'],
      'namespaces are private; --privileged gives more rights',
    ),
  },
  options: [
    { name: 'rm', default: false, summary: 'remove the container after the command has exited' },
    { name: 'name', value: 'NAME', summary: 'name of the container that is created from an image' },
    { name: 'env-file', value: 'FILE', repeat: true, summary: 'file with environment variables, one per line' },
    { name: 'env', short: 'e', value: 'K=V', repeat: true, summary: 'environment variable; K alone is passed on' },
    { name: 'workdir', short: 'w', value: 'DIR', summary: 'working directory in the container', completes: 'none' },
    { name: 'user', short: 'u', value: 'USER', summary: 'USER[:GROUP], as names or IDs' },
    {
      name: 'volume',
      short: 'v',
      value: 'A:B[:ro]',
      repeat: true,
      summary: 'mount the host directory or file A at B',
    },
    {
      name: 'mount',
      value: 'FIELDS',
      repeat: true,
      summary: 'type=bind,source=A,target=B[,readonly] or type=tmpfs,target=B[,tmpfs-size=64m,tmpfs-mode=700]',
    },
    { name: 'tmpfs', value: 'PATH[:OPTIONS]', repeat: true, summary: 'file system in memory: /tmp:size=64m,mode=1777' },
    { name: 'read-only', default: false, summary: "make the container's own files read-only" },
    { name: 'hostname', value: 'NAME', summary: 'host name in the container; default: the start of its ID' },
    { name: 'add-host', value: 'NAME:ADDRESS', repeat: true, summary: 'line for /etc/hosts in the container' },
    { name: 'cap-add', value: 'NAME', repeat: true, summary: 'add a capability, or ALL' },
    { name: 'cap-drop', value: 'NAME', repeat: true, summary: 'drop a capability, or ALL' },
    {
      name: 'privileged',
      default: false,
      summary: 'all capabilities and devices, no filter of system calls: the command can do anything to this machine',
    },
    { name: 'memory', short: 'm', value: 'SIZE', summary: 'memory limit: 512m, 2g (units are powers of 1024)' },
    { name: 'cpus', value: 'N', parse: positiveNumber, summary: 'processor limit, such as 1.5' },
    {
      name: 'pids-limit',
      value: 'N',
      parse: pidsLimit,
      summary: 'limit of processes and threads; -1: none, as by default',
    },
    {
      name: 'ulimit',
      value: 'NAME=SOFT[:HARD]',
      repeat: true,
      summary: 'resource limit of the command: nofile=1024:2048',
    },
    {
      name: 'init',
      default: false,
      summary: 'run an init (catatonit or tini) that passes signals on and reaps processes',
    },
    {
      name: 'network',
      aliases: ['net'],
      value: 'MODE',
      choices: ['host', 'none'],
      default: 'host',
      summary: 'host: the network of this machine; none: only a loopback device',
    },
    {
      name: 'entrypoint',
      value: 'CMD',
      summary: "program (or JSON list) instead of the image's entry point; empty: none",
    },
    {
      name: 'security-opt',
      value: 'OPT',
      summary: "seccomp=FILE: seccomp profile in Docker's format; seccomp=unconfined: no filter",
    },
    { name: 'interactive', short: 'i', default: false, summary: 'no effect: standard input is always passed on' },
    { name: 'tty', short: 't', default: false, summary: 'no effect: a terminal is used if there is one' },
    PULL,
    PLATFORM,
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
    {
      command: 'imgtool run --rm --read-only --tmpfs /tmp --cap-drop ALL --memory 512m --pids-limit 100 app:1',
      does: 'with few rights and limits',
    },
    { command: 'imgtool run --rm --network none -u nobody alpine id', does: 'without network and as another user' },
  ],
  async run(context) {
    const { args, options, signal, imgtool, takeSignals } = context;
    const exitCode = await imgtool.run(args[0]!, args.slice(1), {
      rm: options.flag('rm'),
      name: options.text('name'),
      envFiles: options.list('env-file'),
      env: options.list('env'),
      workdir: options.text('workdir'),
      user: options.text('user'),
      volumes: options.list('volume'),
      mounts: options.list('mount'),
      tmpfs: options.list('tmpfs'),
      readOnly: options.flag('read-only'),
      hostname: options.text('hostname'),
      addHosts: options.list('add-host'),
      capAdd: words(options.list('cap-add')),
      capDrop: words(options.list('cap-drop')),
      privileged: options.flag('privileged'),
      memory: options.text('memory'),
      cpus: options.number('cpus'),
      pidsLimit: options.number('pids-limit') || undefined,
      ulimits: options.list('ulimit'),
      init: options.flag('init'),
      network: options.text('network') as RunOptions['network'],
      entrypoint: options.text('entrypoint'),
      securityOpt: options.text('security-opt'),
      pull: options.text('pull') as RunOptions['pull'],
      platform: options.text('platform'),
      reserve: options.number('reserve'),
      runtime: options.text('runtime'),
      takeSignals,
      signal,
    });
    return { exitCode };
  },
};

function positiveNumber(text: string): number {
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (number >= 0.01) return number;
  throw new UsageError(`${JSON.stringify(text.slice(0, 100))} is not a number of at least 0.01`);
}

/** 0 means no limit. */
function pidsLimit(text: string): number {
  return text === '-1' || text === '0' ? 0 : wholeNumber(1)(text);
}

/** podman accepts several names in one option. */
function words(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(','));
}
