import { notEmpty, wholeNumber, type OptionSpec } from './option.js';
import { parseSize } from '../../util/index.js';
import { BUILD_RESERVE } from './reserve.js';

/** Options of `build` with the names of docker and buildah. */
export const BUILD_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'file',
    short: 'f',
    value: 'FILE',
    summary: 'the Dockerfile, - for standard input; default: Containerfile or Dockerfile in CONTEXT',
  },
  {
    name: 'ignorefile',
    value: 'FILE',
    summary:
      'ignore file; default: FILE.dockerignore of the Dockerfile, else .dockerignore or .containerignore in CONTEXT',
  },
  { name: 'tag', short: 't', value: 'REF', repeat: true, summary: 'name of the image' },
  { name: 'target', value: 'STAGE', parse: notEmpty, summary: 'stage to build; default: the last one' },
  { name: 'build-arg', value: 'K=V', repeat: true, summary: 'value of an ARG; K alone takes it from the environment' },
  {
    name: 'build-context',
    value: 'NAME=DIR',
    repeat: true,
    summary: 'further context for --from=NAME: a directory, tar or git repository, or docker-image://REF',
  },
  {
    name: 'secret',
    value: 'id=K,src=FILE',
    repeat: true,
    summary: 'secret for RUN --mount=type=secret; env=VAR for a variable',
  },
  {
    name: 'ssh',
    value: 'ID[=SOCKET]',
    repeat: true,
    summary: 'SSH agent for RUN --mount=type=ssh; default: that of SSH_AUTH_SOCK',
  },
  { name: 'label', value: 'K=V', repeat: true, summary: 'label of the image' },
  { name: 'annotation', value: 'K=V', repeat: true, summary: 'annotation of the manifest' },
  {
    name: 'platform',
    value: 'OS/ARCH[/VARIANT]',
    repeat: true,
    summary: 'platform to build for; several, between commas too, give an index; default: that of this machine',
  },
  { name: 'no-cache', default: false, summary: 'run every step again' },
  { name: 'no-cache-filter', value: 'STAGE', repeat: true, summary: 'run the steps of this stage again' },
  {
    name: 'cache-from',
    value: 'REPO',
    repeat: true,
    summary: 'use cached steps from this repository',
  },
  { name: 'cache-to', value: 'REPO', repeat: true, summary: 'keep the steps of this build in this repository' },
  { name: 'cache-mounts', default: false, summary: 'take cache mounts from --cache-from and keep them in --cache-to' },
  { name: 'cache-ttl', value: 'AGE', summary: 'run steps again that were built longer ago, such as 24h' },
  {
    name: 'pull',
    words: ['always', 'missing', 'newer', 'never'],
    default: 'missing',
    summary: 'when base images are fetched; alone: always',
  },
  { name: 'squash', default: false, summary: 'one layer for all steps' },
  { name: 'jobs', value: 'N', parse: wholeNumber(1), summary: 'steps to run at the same time; default: 4' },
  {
    name: 'network',
    value: 'MODE',
    choices: ['default', 'host', 'none'],
    default: 'default',
    summary: 'network of RUN: that of this machine, or none',
  },
  { name: 'add-host', value: 'NAME:ADDRESS', repeat: true, summary: 'line for /etc/hosts during RUN' },
  { name: 'ulimit', value: 'NAME=SOFT[:HARD]', repeat: true, summary: 'resource limit of RUN, such as nofile=1024' },
  { name: 'shm-size', value: 'SIZE', parse: parseSize, summary: 'size of /dev/shm during RUN; default: 64MiB' },
  {
    name: 'format',
    value: 'FORMAT',
    choices: ['oci', 'docker'],
    default: 'oci',
    summary: 'format of manifest and config',
  },
  {
    name: 'output',
    short: 'o',
    value: 'SPEC',
    repeat: true,
    summary:
      'also write the result: type=oci|docker|tar|local,dest=PATH; type=oci,tar=false is a layout; a PATH alone is a directory of its files',
  },
  { name: 'push', default: false, summary: 'push the image to each of its names' },
  { name: 'iidfile', value: 'FILE', summary: 'write the image ID to a file' },
  {
    name: 'metadata-file',
    value: 'FILE',
    summary: "write a JSON document with digests and names, as docker's buildx does",
  },
  { name: 'check', default: false, summary: 'check the Dockerfile and build nothing' },
  { name: 'explain', default: false, summary: 'show for each step why it was not in the cache' },
  { name: 'keep-failed', default: false, summary: 'keep the files of a RUN that fails as a container' },
  {
    name: 'runtime',
    value: 'PROGRAM',
    program: true,
    summary: 'name or path of the OCI runtime; default: crun, else runc',
  },
  BUILD_RESERVE,
];

/** Kaniko's names for some of them. */
export const KANIKO_OPTIONS: readonly OptionSpec[] = [
  { name: 'context', value: 'DIR', summary: 'as CONTEXT; dir://PATH and tar://FILE too (kaniko)' },
  { name: 'dockerfile', value: 'FILE', summary: 'as --file (kaniko)' },
  { name: 'destination', value: 'REF', repeat: true, summary: 'as --tag with --push (kaniko)' },
  { name: 'no-push', default: false, summary: 'with --destination: do not push (kaniko)' },
  { name: 'cache-repo', value: 'REPO', repeat: true, summary: 'as --cache-from and --cache-to (kaniko)' },
  { name: 'cache', default: true, summary: 'with false as --no-cache (kaniko)' },
  { name: 'digest-file', value: 'FILE', summary: 'write the manifest digest to a file (kaniko)' },
  { name: 'tar-path', value: 'FILE', summary: 'as --output type=docker,dest=FILE (kaniko)' },
];
