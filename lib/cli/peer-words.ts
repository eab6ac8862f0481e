/** Commands of docker, podman, buildah, skopeo and crane, with their equivalents here. */
const PEER_WORDS: Readonly<Record<string, string>> = {
  attach: 'commands run in the foreground: imgtool run CONTAINER -- COMMAND',
  cat: 'read the file below "$(imgtool mount CONTAINER)"',
  container: 'use the command alone: imgtool create, containers, rm',
  df: 'use imgtool store df',
  exec: 'use imgtool run CONTAINER -- COMMAND',
  from: 'use imgtool create IMAGE',
  gc: 'use imgtool store gc',
  fsck: 'use imgtool store fsck',
  image: 'use the command alone: imgtool images, pull, push, rmi',
  info: 'use imgtool store info',
  kill: 'containers run in the foreground: interrupt the imgtool run that started the command',
  list: 'use imgtool images or imgtool containers',
  'list-tags': 'use imgtool tags REPOSITORY',
  logs: "a command's output goes to the terminal that runs it: imgtool run",
  ls: 'use imgtool images, imgtool containers, or imgtool tags REPOSITORY',
  prune: 'use imgtool store gc',
  remove: 'use imgtool rm CONTAINER or imgtool rmi IMAGE',
  restart: 'use imgtool run CONTAINER -- COMMAND',
  start: 'use imgtool run CONTAINER -- COMMAND',
  stop: 'containers run in the foreground: interrupt the imgtool run that started the command',
  system: 'use imgtool store df or imgtool store gc',
  umount: 'nothing needs unmounting: imgtool mount prints a path that is always there',
  unmount: 'nothing needs unmounting: imgtool mount prints a path that is always there',
  validate: 'use imgtool store fsck',
};

/** Suggests the equivalent of another tool's command; undefined for an unknown word. */
export function hintForPeerWord(word: string): string | undefined {
  return Object.hasOwn(PEER_WORDS, word) ? PEER_WORDS[word] : undefined;
}
