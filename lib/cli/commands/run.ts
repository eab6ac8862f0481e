import type { RunOptions } from '../../imgtool/index.js';
import type { CommandSpec } from '../command.js';
import { RESERVE } from './common-options.js';

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
    { name: 'TARGET', summary: 'container or image: name, ID or unique ID prefix', completes: ['container', 'image'] },
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
    const { args, options, signal, imgtool, takeSignals } = context;
    const exitCode = await imgtool.run(args[0]!, args.slice(1), {
      rm: options.flag('rm'),
      name: options.text('name'),
      env: options.list('env'),
      workdir: options.text('workdir'),
      user: options.text('user'),
      volumes: options.list('volume'),
      network: options.text('network') as RunOptions['network'],
      entrypoint: options.text('entrypoint'),
      securityOpt: options.text('security-opt'),
      pull: options.text('pull') as RunOptions['pull'],
      reserve: options.number('reserve'),
      runtime: options.text('runtime'),
      takeSignals,
      signal,
    });
    return { exitCode };
  },
};
