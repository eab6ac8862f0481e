import type { RunOptions } from '../../imgtool/index.js';
import type { CommandSpec } from '../command.js';
import { RESERVE } from './common-options.js';

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
